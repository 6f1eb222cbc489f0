"""Which language a person's texts are in, told by script and stop words; "und" where neither says.

Letters decide first: a Chinese text may quote Latin names, hardly the reverse. A script that one
language is written in
names it. Among languages of the Latin script, it is the one whose stop words make the largest share
of the words: a third to a half in running text, and less than an eighth of a text in another
language.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain

from agent_assets.text.languages.rules import (
    UNKNOWN_LANGUAGE,
    LanguageCode,
    known_languages,
    rules_for,
)
from agent_assets.text.scripts import HANGUL, KANA, LATIN, THAI

MIN_STOP_SHARE = 0.2
MIN_WORDS = 8  # of fewer, stop words say nothing
SAMPLE_CHARS = 1000  # some 180 words

_LETTERS = re.compile(r"[^\W\d_]+")
_HAN, _KANA = re.compile("[\u4e00-\u9fff]+"), re.compile(f"[{KANA}]+")
_ONE_LANGUAGE = {"ko": re.compile(f"[{HANGUL}]+"), "th": re.compile(f"[{THAI}]+")}
_LATIN = re.compile(f"[{LATIN}]+")
_LATIN_WORD = re.compile(rf"[{LATIN}]+(?:['’][{LATIN}]+)*")


def identify_language(answers: Iterable[str], questions: Iterable[str] = ()) -> LanguageCode:
    """The language of what a person told; the questions are looked at where the answers are too
    short to tell.
    """
    text = " ".join(answers)
    if text.isascii():
        return _by_stop_words(text, questions)
    letters, chinese, kana = (_count(pattern, text) for pattern in (_LETTERS, _HAN, _KANA))
    if 3 * (chinese + kana) > letters:
        return "ja" if 10 * kana > letters else "zh"
    for code, pattern in _ONE_LANGUAGE.items():
        if 2 * _count(pattern, text) > letters:
            return code
    return (
        _by_stop_words(text, questions) if 2 * _count(_LATIN, text) > letters else UNKNOWN_LANGUAGE
    )


def choose_language(text: str, among: Sequence[LanguageCode]) -> LanguageCode | None:
    """Which of some languages a short text is in; None where it can be in none of them."""
    possible = [code for code in among if rules_for(code).may_be(text)]
    if len(possible) < 2:
        return possible[0] if possible else None
    words = _LATIN_WORD.findall(text.lower())
    if _count(_KANA, text) and "ja" in possible:
        return "ja"
    return max(possible, key=lambda code: _stop_share(words, code))  # the first one of equal


def _by_stop_words(text: str, questions: Iterable[str]) -> LanguageCode:
    words = _LATIN_WORD.findall(text[:SAMPLE_CHARS].lower())
    if len(words) < MIN_WORDS:
        text = " ".join(chain([text], questions))
        words = _LATIN_WORD.findall(text[:SAMPLE_CHARS].lower())
    if len(words) < MIN_WORDS:
        # Too little to tell by. Plain ASCII is most likely English.
        return "en" if text.isascii() else UNKNOWN_LANGUAGE
    share, code = max((_stop_share(words, code), code) for code in known_languages())
    return code if share >= MIN_STOP_SHARE else UNKNOWN_LANGUAGE


def _stop_share(words: Sequence[str], code: LanguageCode) -> float:
    stop_words = rules_for(code).stop_words
    return sum(word in stop_words for word in words) / len(words) if words else 0.0


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(map(len, pattern.findall(text)))
