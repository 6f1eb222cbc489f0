"""Texts that match a regular expression of a schema, short and plain enough for a question.

rstr makes the text; the expression is first written so that it makes one that people would write:
a class becomes the plain characters in it (letters before digits before signs), and what may repeat
without end repeats a few times. Whether the text fits decides the expression itself.
"""

import re
import string
from random import Random

from rstr import Rstr

from agent_assets.conversations.schemas.patterns import matches
from agent_assets.synthesis.arguments.pool import CannotSample

_FEW = 8  # repeats of what may repeat without end
_ATTEMPTS = 50
# One part of an expression: a class, a property, an escape, the end of a group's name, any
# character; or a number of repeats.
_PART = re.compile(
    r"(?P<set>\[(?:\\.|[^\]\\])+\]|\\[pP]\{[^}]*\}|\\[wWsSdD]|\.)"
    r"|(?P<escape>\\k<(?P<name>\w+)>|\\u\{(?P<code>[0-9A-Fa-f]+)\}|\\.)"
    r"|(?P<group>\(\?<(?=\w+>))|(?P<open>\{(?P<least>\d+),\}|[*+])",
    re.DOTALL,
)
_PLAIN = (string.ascii_lowercase, string.digits, string.ascii_uppercase)
_OTHERS = " _-" + string.punctuation + "éüñç中文語"


def text_of_pattern(pattern: str, rng: Random, *, at_least: int = 0) -> str:
    """A text in which the expression is found.

    Args:
        at_least: characters that the text should have.

    Raises:
        CannotSample: none was found.
    """
    plain = _PART.sub(lambda part: _plain_part(part, max(_FEW, at_least)), pattern)
    maker = Rstr(rng)
    for _ in range(_ATTEMPTS):
        try:
            text = maker.xeger(plain)
        except (re.error, KeyError, IndexError):  # it knows no conditions, for example
            break
        if len(text) >= at_least and matches(pattern, text):
            return text
    raise CannotSample("a text with a pattern that no text was found for")


def _plain_part(part: re.Match[str], most: int) -> str:
    if part["set"]:
        return _characters(part["set"])
    if part["group"]:
        return "(?P<"
    if part["open"]:
        least = int(part["least"] or (part["open"] == "+"))
        return f"{{{least},{least + most}}}"
    if part["name"]:
        return f"(?P={part['name']})"
    if part["code"]:
        return re.escape(chr(int(part["code"], 16)))
    return part[0]


def _characters(characters: str) -> str:
    """A class of the plain characters in another one."""
    whole = f"^{characters}$"
    lower, digits, upper = ("".join(c for c in kind if matches(whole, c)) for kind in _PLAIN)
    letters = lower if len(lower) == len(_PLAIN[0]) else lower + digits
    chosen = letters or digits or upper or "".join(c for c in _OTHERS if matches(whole, c))
    return f"[{re.escape(chosen)}]" if chosen else characters
