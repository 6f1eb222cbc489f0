"""Short answers from tool results: every value stated once, compactly; and a memory told in the elder's own words."""

import json
import re
from collections.abc import Iterator
from typing import Any

from agent_assets.conversations.memories import Memory
from agent_assets.conversations.messages import JsonObject
from agent_assets.text.language import Language

MAX_RESULT_CHARS = 400
MAX_SCALAR_CHARS = 80

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WORD = re.compile(r"[^\W\u3400-\u9fff]+(?:['’-][^\W\u3400-\u9fff]+)*")
_CHINESE = re.compile(r"[\u3400-\u9fff]+")
# Of ASCII text every letter, digit and underscore as w, what joins two words as j, the rest as space.
_SHAPE = bytes(
    ord("w" if chr(byte).isalnum() or byte == ord("_") else "j" if byte in b"'-" else " ") for byte in range(128)
).ljust(256)
_OPEN_END = " ,;:，；："
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_ASCII_SENTENCE_END = re.compile(r" (?<=[.!?] )")  # the same where spaces are single, found much faster
_CLAUSE_END = re.compile(r"(?<=[,;:])\s+|(?<=[，；：])")
_TITLE_END = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Rev|Col|Capt|Gov|Prof|No)|\b[A-Z])\.$")
_LONGEST_TITLE = 6  # characters of _TITLE_END at most: what stands before need not be searched
_TOLD_BY: dict[str, dict[Language, str]] = {
    "family": {"en": "My family tells it so: ", "zh": "家里人是这么说我的："},
    "friend": {"en": "A friend tells it so: ", "zh": "朋友是这么说我的："},
}


def read_result(observation: str) -> Any:
    """The value of a result: JSON where it is JSON, otherwise its text."""
    try:
        return json.loads(observation)
    except ValueError:  # tools may answer in plain text
        return observation.strip()


def state_result(observation: str) -> str:
    """All values of a result in one line, cut where it grows long: `2025-03-01 4.12, 2025-03-02 4.2`."""
    text = " ".join(_compact(read_result(observation)).split())
    return text if len(text) <= MAX_RESULT_CHARS else text[:MAX_RESULT_CHARS].rsplit(" ", 1)[0] + " …"


def result_values(observation: str) -> list[str]:
    """The values of a result that a right answer states, in order, each once.

    Dates are left out where other values stand beside them: the question named the days.
    """
    values = list(dict.fromkeys(_leaves(read_result(observation))))
    without_dates = [value for value in values if not _ISO_DATE.fullmatch(value)]
    return without_dates or values


def own_words(memory_text: str, *, max_words: int) -> str:
    """What was told, cut at the end of a sentence where it is long, and inside of one only where it must be."""
    text = " ".join(memory_text.split())
    if _length(text) <= max_words and (whole := text.rstrip(_OPEN_END)):
        return whole
    return (
        _cut(text, _sentences(text), max_words)
        or _cut(text, _CLAUSE_END.split(text), max_words)
        or _hard_cut(text, max_words)
    )


def told_by(memory: Memory, language: Language) -> str:
    """What stands before the words of somebody else than the elder; "" for their own."""
    return _TOLD_BY.get(memory.relationship, {}).get(language, "")


def memories_in(observation: str) -> list[JsonObject]:
    """The memories in a result of a memory tool: objects with `id` and `text`."""
    value = read_result(observation)
    entries = value if isinstance(value, list) else [value]
    return [entry for entry in entries if isinstance(entry, dict) and "id" in entry and "text" in entry]


def cite(words: str, memory_ids: list[str]) -> str:
    """Words with the memories they rest on: `I was born in Boston. [m-001]`."""
    return " ".join([words, *(f"[{memory_id}]" for memory_id in memory_ids)])


def numbers(text: str) -> set[str]:
    """Every number written in a text, as written."""
    return set(_NUMBER.findall(text))


def _compact(value: object) -> str:
    if isinstance(value, dict):
        if any(isinstance(item, dict | list) for item in value.values()):
            return "; ".join(f"{key}: {_compact(item)}" for key, item in value.items())
        return ", ".join(f"{key} {_scalar(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_entry(item) for item in value)
    return _scalar(value)


def _entry(value: object) -> str:
    """One object of a list without its keys, texts before numbers: `2025-03-01 4.12`."""
    if isinstance(value, dict) and not any(isinstance(item, dict | list) for item in value.values()):
        parts = sorted(value.values(), key=lambda item: not isinstance(item, str))
        return " ".join(_scalar(item) for item in parts)
    return _compact(value)


def _scalar(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif value is not None and 0 < len(text := " ".join(_scalar(value).split())) <= MAX_SCALAR_CHARS:
        yield text


def _sentences(text: str) -> list[str]:
    """Sentences of a text with single spaces; "Mr. Smith" does not end one."""
    found: list[str] = []
    for part in (_ASCII_SENTENCE_END if text.isascii() else _SENTENCE_END).split(text):
        if found and _TITLE_END.search(found[-1], max(0, len(found[-1]) - _LONGEST_TITLE)):
            found[-1] += " " + part
        else:
            found.append(part)
    return found


def _cut(text: str, parts: list[str], max_words: int) -> str:
    """As many parts from the start as fit; "" when the first does not."""
    end, length = 0, 0.0
    for part in parts:
        length += _length(part)  # no word goes over the end of a part
        if length > max_words:
            break
        end = text.index(part, end) + len(part)
    return text[:end].rstrip(_OPEN_END)


def _hard_cut(text: str, max_words: int) -> str:
    words = text.split(" ")
    while len(words) > 1 and _length(" ".join(words)) > max_words:
        words.pop()
    cut = " ".join(words)
    return cut if _length(cut) <= max_words else cut[: max_words * 2]


def _length(text: str) -> float:
    """Words; two Chinese characters count as one."""
    if text.isascii():  # the same count as _WORD's, faster; a letter between two joints needs it twice
        shape = text.encode().translate(_SHAPE).replace(b"wjw", b"www").replace(b"wjw", b"www")
        return len(shape.replace(b"j", b" ").split())
    return sum(map(len, _CHINESE.findall(text))) / 2 + len(_WORD.findall(text))
