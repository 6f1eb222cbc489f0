// Enter in the name is not a decision.
document.getElementById("reviewer")?.addEventListener("keydown", (event) => {
  if (event.key === "Enter") event.preventDefault();
});

// Letters instead of the mouse: each control names its own.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select") !== null;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const control = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (control === null) return;
  event.preventDefault();
  control.click();
  if (control.dataset.key === "e") document.getElementById("edited").focus();
});
