"""Reading a final answer: what it states, how much of a memory it holds, whether it says "never told", what it cites.

Everything here is lexical, deterministic and bilingual (English, Chinese). Text is compared after Unicode NFKC and
lower-casing, so full-width digits and letters equal their plain forms.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

from agent_assets.conversations.messages import Message

_HAN = "\u3400-\u9fff\uf900-\ufaff"
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_TOKEN = re.compile(rf"[{_HAN}]+|{_NUMBER}|[^\W\d_{_HAN}]+(?:['’][^\W\d_{_HAN}]+)*")
_SIGNED_NUMBER = re.compile(rf"(?<![\w.-])-?(?:{_NUMBER})|{_NUMBER}")
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_MONTH = "(" + "|".join(f"{month[:3]}(?:{month[3:]})?" if len(month) > 3 else month for month in _MONTHS) + r")\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_DATE_YMD = re.compile(r"(\d{4})(?:[-/.]|\s*年\s*)(\d{1,2})(?:[-/.]|\s*月\s*)(\d{1,2})")
_DATE_MDY = re.compile(rf"\b{_MONTH}\s+{_DAY},?\s+(\d{{4}})")
_DATE_DMY = re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_MONTH},?\s+(\d{{4}})")

_STOP_TEXT = """a about after again all also am an and any are as at be because been before being but by can could did
do does doing down each for from had has have having he her here hers him his how i if in into is it its itself just me
more most my no nor not now of off on once only or other our ours out over own same she should so some such than that
the their theirs them then there these they this those through to too under until up upon us very was we were what
when where which while who whom why will with would you your yours"""
_STOP_WORDS = frozenset(_STOP_TEXT.split())
_STOP_HAN = re.compile("[的了着过是在有和与及或也都就还又很而但被把给对从到向于以之其这那哪个们我你您他她它吗呢吧啊么]")

_NEVER_TOLD = tuple(
    re.compile(pattern)
    for pattern in (
        r"\bnever\s+(?:\w+\s+)?(?:told|tell|spoke|spoken|talked|mentioned|said|shared|described)\b",
        r"\b(?:have|has|had|did)(?:n't|\s+not)\s+(?:\w+\s+)?"
        r"(?:told|tell|spoken|speak|talked|talk|mention(?:ed)?|shared?|said|say)\b",
        r"\b(?:do|did)(?:n't|\s+not)\s+(?:really\s+)?(?:know|remember|recall|have\s+(?:any\s+|a\s+|that\s+|the\s+|this\s+)?"
        r"(?:memory|memories|information|record|answer|story))\b",
        r"\b(?:no|any)\s+(?:memory|memories|record|information|story)\s+(?:of|about|on|that)\b",
        r"\b(?:not|nothing|isn't)\s+(?:\w+\s+)?(?:in|among)\s+(?:my|the)\s+(?:memory|memories|stories)\b",
        r"\b(?:cannot|can't|could\s+not|couldn't|unable\s+to|not\s+able\s+to)\s+"
        r"(?:recall|remember|find|answer|say|tell|look)\b",
        r"\b(?:no|none\s+of\s+(?:my|the))\s+tools?\b",
        r"\bmy\s+tools\s+(?:cannot|can't|do\s+not|don't)\b",
        r"(?:没有?|未曾?|不曾)[^,.;!?\s,。;!?]{0,6}(?:讲|说|提|谈|聊|告诉)(?:过|起|到)",
        r"(?:不|没有?)(?:太)?(?:知道|清楚|晓得|记得)|记不(?:得|起|清)|想不起",
        r"没有?[^,。;]{0,8}(?:记忆|回忆|记录|信息|资料|工具)",
        r"(?:无法|不能|没法|没办法)(?:回答|查询|提供|确定|告诉)|(?:回答不了|答不上|查不到|找不到)",
    )
)


def final_answer(messages: Sequence[Message]) -> str:
    """The text a rollout ends with: "" when it ends with a tool call or a tool result."""
    if not messages or messages[-1].role != "assistant" or messages[-1].tool_calls:
        return ""
    return _THINKING.sub("", messages[-1].content).strip()


def states_value(value: str, answer: str) -> bool:
    """Whether an answer states a gold value.

    A number counts in any usual format (`3456.7`, `3,456.70`), never rounded. An ISO date counts in ISO, English and
    Chinese notation. Any other text has to occur as it is, in Latin script as whole words.
    """
    value, answer = _normal(value), _normal(answer)
    if re.fullmatch(rf"-?(?:{_NUMBER})", value):
        return _decimal(value) in _numbers(answer)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return value in _dates(answer)
    before, after = r"(?<!\w)" if value[:1].isascii() else "", r"(?!\w)" if value[-1:].isascii() else ""
    return bool(value) and re.search(before + re.escape(value) + after, answer, re.ASCII) is not None


def recall_share(gold: str, question: str, answer: str) -> float:
    """Share (0 to 1) of the content of a memory that an answer holds.

    Content is the set of words without stop words, numbers, and Chinese character pairs of `gold` that the question
    does not already give away. A memory that says nothing beyond its question is measured by all of its content.
    """
    everything = _content(gold)
    wanted = everything - _content(question) or everything
    if not wanted:
        return float(_normal(gold) in _normal(answer))
    return len(wanted & _content(answer)) / len(wanted)


def says_never_told(answer: str) -> bool:
    """Whether a reply says that this was never told, is not known, or cannot be looked up."""
    text = _normal(answer)
    return any(pattern.search(text) for pattern in _NEVER_TOLD)


def cited_ids(answer: str, known: Iterable[str]) -> frozenset[str]:
    """Those of the known memory ids that an answer names."""
    return frozenset(
        memory for memory in known if re.search(rf"(?<![\w-]){re.escape(memory)}(?![\w-])", answer, re.ASCII)
    )


def offered_ids(messages: Sequence[Message]) -> frozenset[str]:
    """Memory ids that the tools returned in a rollout: `id` of every object in a JSON list result."""
    found: set[str] = set()
    for message in messages:
        if message.role == "tool":
            found.update(_ids_in(message.content))
    return frozenset(found)


def _ids_in(result: str) -> Collection[str]:
    try:
        entries = json.loads(result)
    except ValueError:  # a tool may answer in plain text
        return ()
    entries = entries if isinstance(entries, list) else [entries]
    return [entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'").strip()


def _decimal(number: str) -> Decimal:
    return Decimal(number.replace(",", ""))


def _numbers(text: str) -> set[Decimal]:
    # Of a date only the year counts as a number: 2025-04-22 must not state "4".
    return {_decimal(match) for match in _SIGNED_NUMBER.findall(_DATE_YMD.sub(r" \1 ", text))}


def dates_in(text: str) -> set[str]:
    """Every day that a text names, as ISO dates, in ISO, English and Chinese notation."""
    return _dates(_normal(text))


def with_iso_dates(text: str) -> str:
    """A text in lower case with every day that it names in ISO notation."""
    text = _DATE_YMD.sub(lambda found: _iso(found[1], int(found[2]), found[3]), _normal(text))
    text = _DATE_MDY.sub(lambda found: _iso(found[3], _month(found[1]), found[2]), text)
    return _DATE_DMY.sub(lambda found: _iso(found[3], _month(found[2]), found[1]), text)


def _iso(year: str, month: int, day: str) -> str:
    return f"{int(year):04d}-{month:02d}-{int(day):02d}"


def _dates(text: str) -> set[str]:
    found = [(year, int(month), day) for year, month, day in _DATE_YMD.findall(text)]
    found += [(year, _month(month), day) for month, day, year in _DATE_MDY.findall(text)]
    found += [(year, _month(month), day) for day, month, year in _DATE_DMY.findall(text)]
    return {_iso(year, month, day) for year, month, day in found}


def _month(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, start=1) if month.startswith(name[:3]))


def _content(text: str) -> set[str]:
    tokens: set[str] = set()
    for token in _TOKEN.findall(_normal(text)):
        if re.match(f"[{_HAN}]", token):
            for piece in _STOP_HAN.split(token):
                tokens.update(piece[start : start + 2] for start in range(len(piece) - 1))
        elif token[0].isdigit():
            tokens.add(str(_decimal(token).normalize()))
        else:
            tokens.add(token.removesuffix("'s"))
    return tokens - _STOP_WORDS
