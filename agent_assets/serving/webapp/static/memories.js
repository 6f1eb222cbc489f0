// The memories an answer rests on. All text is set as text: what people told is never HTML here.
const LONG = 280; // characters; a longer memory is folded

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// The answer, with each memory's id as a small number that leads to its card.
export function withNumbers(text, memories, key) {
  const numbers = new Map(memories.map((memory, index) => [memory.id, index + 1]));
  if (numbers.size === 0) return [text];
  const ids = [...numbers.keys()].map((id) => id.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  const cited = new RegExp(`\\s*[\\[(（【]?(?<![\\w-])(${ids})(?![\\w-])[\\])）】]?`, "g");
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(cited)) {
    const number = numbers.get(match[1]);
    parts.push(text.slice(from, match.index));
    parts.push(element("sup", {}, element("a", { href: `#memory-${key}-${number}` }, String(number))));
    from = match.index + match[0].length;
  }
  return [...parts, text.slice(from)];
}

export function memoryCards({ memories, key, never_told: neverTold, unfounded }, words) {
  const shown = [];
  if (neverTold) shown.push(element("p", { className: "never" }, words.never_told));
  else if (unfounded) shown.push(element("p", { className: "never" }, words.no_memory));
  if (memories.length > 0) {
    const cards = memories.map((memory, index) => card(memory, index + 1, key, words));
    shown.push(
      element(
        "div",
        { className: "behind" },
        element("p", { className: "label" }, words.memories),
        element("ul", { className: "memories" }, ...cards),
      ),
    );
  }
  return shown;
}

function card(memory, number, key, words) {
  const quote = element("blockquote");
  if (memory.answer.length > LONG) {
    quote.append(`${memory.answer.slice(0, LONG)}…`);
    const whole = element("details", {}, element("summary", {}, words.more), memory.answer);
    quote.append(whole);
  } else quote.append(memory.answer);
  const figure = element("figure", { className: "memory", id: `memory-${key}-${number}` });
  if (memory.asked) figure.append(element("p", { className: "asked" }, `${number} · ${memory.asked}`));
  figure.append(quote, element("figcaption", {}, `${memory.told_by}, ${memory.date}`));
  return element("li", {}, figure);
}
