// A conversation: kept in this tab, sent along with each question, streamed back.
import { eventsOf } from "/app/static/events.js";
import { element, memoryCards, withNumbers } from "/app/static/memories.js";
import { marksOf } from "/app/static/marks.js";

const talk = document.getElementById("talk");
const words = JSON.parse(document.getElementById("words").textContent);
const log = document.getElementById("log");
const composer = document.getElementById("composer");
const box = document.getElementById("message");
const send = document.getElementById("send");
const starters = document.getElementById("starters");
const KEPT = `agent-assets/chat/${talk.dataset.agent}`;
const MOST = 40; // turns that are kept and sent along
let turns = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
let going = null; // what stops the answer that is on its way

function keep() {
  turns = turns.slice(-MOST);
  sessionStorage.setItem(KEPT, JSON.stringify(turns));
  starters.hidden = turns.length > 0;
}

function turnOf(side, who) {
  const said = element("div", { className: "said" });
  const item = element("li", { className: `turn ${side}` }, element("p", { className: "who" }, who), said);
  log.append(item);
  return { item, said };
}

function showMine(text) {
  turnOf("mine", words.you).said.textContent = text;
}

function showAnswer({ item, said }, turn) {
  said.classList.remove("waits");
  said.replaceChildren(...withNumbers(turn.text, turn.memories, turn.key));
  item.append(...memoryCards(turn, words));
  if (turn.marks) item.append(marksOf(talk, words, turn, () => keep()));
}

function questionBefore(turn) {
  return turns[turns.indexOf(turn) - 1]?.text ?? "";
}

function remember(question, result) {
  const key = `${Date.now().toString(36)}${turns.length}`;
  const turn = { role: "assistant", text: result.response, key, marks: true, ...result, question };
  turns.push({ role: "user", text: question }, turn);
  keep();
  return turn;
}

function earlier() {
  return turns.map((turn) => ({ role: turn.role, content: turn.text }));
}

function failed(place, question, detail) {
  const retry = element("button", { type: "button", className: "second" }, words.retry);
  retry.addEventListener("click", () => {
    place.item.previousElementSibling?.remove();
    place.item.remove();
    ask(question);
  });
  place.said.replaceChildren(element("p", { className: "wrong" }, words.failed), element("p", { lang: "en" }, detail), retry);
}

async function ask(question) {
  going = new AbortController();
  send.textContent = words.stop;
  starters.hidden = true;
  showMine(question);
  log.parentElement.setAttribute("aria-busy", "true"); // said when it is whole, not word by word
  const place = turnOf("theirs", words.name);
  place.said.classList.add("waits");
  place.said.textContent = words.thinking;
  place.item.scrollIntoView({ block: "end" });
  let written = "";
  let result = null;
  try {
    const reply = await fetch(talk.dataset.stream, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": talk.dataset.csrf },
      body: JSON.stringify({ message: question, conversation_history: earlier() }),
      signal: going.signal,
    });
    if (!reply.ok) throw new Error((await reply.json()).detail);
    for await (const { kind, content } of eventsOf(reply.body)) {
      if (kind === "text_chunk") {
        written += content.text;
        if (!written.trimStart().startsWith("<")) place.said.textContent = written; // not what it thinks
      } else if (kind === "tool_call") {
        written = "";
        place.said.textContent = words.remembering;
      } else if (kind === "result") result = content;
      else if (kind === "error") throw new Error(content.detail);
    }
    if (result === null) throw new Error("");
    showAnswer(place, remember(question, result));
  } catch (error) {
    failed(place, question, error.name === "AbortError" ? words.cut : error.message);
  }
  going = null;
  log.parentElement.setAttribute("aria-busy", "false");
  send.textContent = words.send;
  place.item.scrollIntoView({ block: "end" });
}

function submit() {
  if (going !== null) return going.abort();
  const question = box.value.trim();
  if (question === "") return box.focus();
  box.value = "";
  grow();
  return ask(question);
}

function grow() {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 3}px`;
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
box.addEventListener("keydown", (event) => {
  // While an input method composes (Chinese), Enter chooses a word.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
    event.preventDefault();
    if (going === null) submit();
  }
});
box.addEventListener("input", grow);
document.getElementById("again").addEventListener("click", () => {
  going?.abort();
  turns = [];
  log.replaceChildren();
  keep();
  box.focus();
});
for (const starter of starters.querySelectorAll("button")) {
  starter.addEventListener("click", () => ask(starter.textContent.trim()));
}

for (const turn of turns) {
  if (turn.role === "user") showMine(turn.text);
  else showAnswer(turnOf("theirs", words.name), { ...turn, question: questionBefore(turn) });
}
keep();
log.lastElementChild?.scrollIntoView({ block: "end" });
