"""Where sentences and clauses end and how long text is, by its signs: for English and Chinese,
which elders mix.

Much quicker than the boundaries of Unicode, and what the rows of these languages were always made
with.
"""

import re

from agent_assets.text.scripts import HAN

_WORD = re.compile(rf"[^\W{HAN}]+(?:['’-][^\W{HAN}]+)*")
_HAN = re.compile(f"[{HAN}]+")
# Of ASCII text every letter, digit and underscore as w, what joins two words as j, the rest as
# space.
_SHAPE = bytes(
    ord("w" if chr(byte).isalnum() or byte == ord("_") else "j" if byte in b"'-" else " ")
    for byte in range(128)
).ljust(256)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_ASCII_SENTENCE_END = re.compile(
    r" (?<=[.!?] )"
)  # the same where spaces are single, found much faster
_CLAUSE_END = re.compile(r"(?<=[,;:])\s+|(?<=[，；：])")
_TITLE_END = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Rev|Col|Capt|Gov|Prof|No)|\b[A-Z])\.$")
_LONGEST_TITLE = 6  # characters of _TITLE_END at most: what comes before need not be searched


def sentences(text: str) -> list[str]:
    """Sentences of a text with single spaces; "Mr. Smith" does not end one."""
    joined: list[str] = []
    for part in (_ASCII_SENTENCE_END if text.isascii() else _SENTENCE_END).split(text):
        if joined and _TITLE_END.search(joined[-1], max(0, len(joined[-1]) - _LONGEST_TITLE)):
            joined[-1] += " " + part
        else:
            joined.append(part)
    return joined


def clauses(text: str) -> list[str]:
    """What comes between commas, semicolons and colons."""
    return _CLAUSE_END.split(text)


def length(text: str) -> float:
    """Words; two Chinese characters count as one."""
    # The same count as _WORD's, faster; a letter between two joints needs it twice
    if text.isascii():
        shape = text.encode().translate(_SHAPE).replace(b"wjw", b"www").replace(b"wjw", b"www")
        return len(shape.replace(b"j", b" ").split())
    return sum(map(len, _HAN.findall(text))) / 2 + len(_WORD.findall(text))


def cut(text: str, max_words: int) -> str:
    """The start of a text, cut between two spaces, or where there are none inside of a word."""
    words = text.split(" ")
    while len(words) > 1 and length(" ".join(words)) > max_words:
        words.pop()
    start = " ".join(words)
    return start if length(start) <= max_words else start[: max_words * 2]
