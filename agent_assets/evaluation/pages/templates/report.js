// Filters the list of items by outcome, kind and text. Without scripts the page still shows everything.
(function () {
  const rows = Array.from(document.querySelectorAll("[data-item]"));
  const chips = Array.from(document.querySelectorAll("[data-filter]"));
  const kind = document.getElementById("kind");
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  let outcome = "all";

  const texts = rows.map((row) => row.textContent.toLowerCase());

  function apply() {
    const words = search.value.trim().toLowerCase();
    let count = 0;
    rows.forEach((row, index) => {
      const visible =
        (outcome === "all" || row.dataset.outcome === outcome) &&
        (kind.value === "" || row.dataset.kind === kind.value) &&
        (words === "" || texts[index].includes(words));
      row.hidden = !visible;
      count += visible ? 1 : 0;
    });
    shown.textContent = count + " of " + rows.length + " items";
  }

  chips.forEach((chip) =>
    chip.addEventListener("click", () => {
      outcome = chip.dataset.filter;
      chips.forEach((other) => other.setAttribute("aria-pressed", String(other === chip)));
      apply();
    })
  );
  kind.addEventListener("change", apply);
  search.addEventListener("input", apply);
  apply();
})();
