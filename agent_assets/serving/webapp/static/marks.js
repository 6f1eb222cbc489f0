// Was an answer right? A mark is sent once, with question and answer.
import { element } from "/app/static/memories.js";

const SVG = "http://www.w3.org/2000/svg";
const THUMB = "M7 21H3V10h4zm2 0V10l4-8c1.7 0 2.8 1.3 2.4 3l-.9 3.5H20c1.3 0 2.2 1.200 1.900 2.500l-1.700 8c-.3 1.2-1.2 2-2.4 2z";

function thumb(direction) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("class", `thumb ${direction}`);
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", THUMB);
  picture.append(path);
  return picture;
}

export function marksOf(talk, words, turn, kept) {
  const group = element("div", { className: "marks", role: "group", "aria-label": words.mark_group });
  if (turn.marked) {
    group.append(element("p", { className: "quiet", role: "status" }, words.mark_thanks));
    return group;
  }
  const up = element("button", { type: "button", className: "second" }, thumb(""), words.mark_up);
  const down = element("button", { type: "button", className: "second" }, thumb("down"), words.mark_down);
  const said = element("p", { className: "quiet", role: "status" });
  group.append(up, down, said);

  async function send(mark) {
    const reply = await fetch(talk.dataset.marks, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": talk.dataset.csrf },
      body: JSON.stringify({
        question: turn.question,
        answer: turn.text,
        model_name: turn.model_name,
        memory_ids: turn.memories.map((memory) => memory.id),
        ...mark,
      }),
    }).catch(() => null);
    if (reply === null || !reply.ok) {
      said.textContent = words.mark_failed;
      return;
    }
    turn.marked = mark.verdict;
    kept();
    group.replaceChildren(said);
    said.textContent = words.mark_thanks;
  }

  up.addEventListener("click", () => send({ verdict: "right" }));
  down.addEventListener("click", () => {
    const form = whyForm(words, turn.key, send, () => {
      form.remove();
      down.focus();
    });
    group.after(form);
    down.setAttribute("aria-pressed", "true");
    form.querySelector("input").focus();
  });
  return group;
}

function whyForm(words, key, send, leave) {
  const reasons = words.reasons.map(([reason, label], index) => {
    const radio = element("input", { type: "radio", name: "reason", value: reason, checked: index === 0 });
    return element("label", { className: "choice" }, radio, label);
  });
  const comment = element("textarea", { name: "comment", rows: 2, maxLength: 2000, id: `comment-${key}` });
  const cancel = element("button", { type: "button", className: "plain" }, words.mark_leave);
  const form = element(
    "form",
    { className: "why" },
    element("fieldset", {}, element("legend", {}, words.mark_why), ...reasons),
    element("label", { htmlFor: comment.id }, words.mark_comment),
    comment,
    element("div", { className: "actions" }, element("button", { type: "submit" }, words.mark_send), cancel),
  );
  cancel.addEventListener("click", leave);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    form.remove();
    await send({ verdict: "wrong", reason: fields.get("reason"), comment: fields.get("comment") });
  });
  return form;
}
