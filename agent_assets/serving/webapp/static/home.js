// While somebody learns, the list is loaded again every few seconds; the focus stays where it is.
const EVERY = 4000;

async function again() {
  const list = document.getElementById("agents");
  if (list.dataset.live !== "yes") return;
  if (!document.hidden) {
    const reply = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
    if (reply !== null && reply.ok && !reply.redirected) {
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("agents");
      const busy = list.contains(document.activeElement);
      if (fresh !== null && !busy && fresh.innerHTML !== list.innerHTML) list.replaceWith(fresh);
    }
  }
  setTimeout(again, EVERY);
}
setTimeout(again, 1200);
