"""Text as people and their editors stored it, as plain text."""

import re
import unicodedata

from bson import Code

_BROKEN_UTF8 = re.compile("[\ud800-\udfff]")  # what the codec turns bytes into that are not UTF-8
# Blank, besides space: controls, and what Unicode tells programs not to show (joiners, fillers,
# marks of direction, variation selectors).
_BLANK = (
    "\\s\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e0fff"
)
_VISIBLE = re.compile(f"[^{_BLANK}]")
_TAGS = (
    "a|abbr|article|b|blockquote|body|center|code|del|div|em|figure|font|h[1-6]|html|i|ins|label|"
    "li|mark|ol|p|pre|s|script|section|small|span|strike|strong|style|sub|sup|table|tbody|td|th|tr"
    "|u|ul"
)
# A closing tag, a tag that stands alone, or an entity: "<3" and "a < b" are plain text.
_HTML = re.compile(
    rf"</(?:{_TAGS})\s*>|<(?:br|hr|img|p|div|li)(?:\s+[\w:-]+\s*=[^<>]*|\s*/?)>"
    r"|&(?:nbsp|amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-f]{1,6});",
    re.IGNORECASE,
)


def clean_text(value: object) -> str | None:
    """Plain text in Unicode NFC without surrounding space, with plain newlines; None for what is
    not (valid) text. HTML loses its tags, and what shows nothing is "".
    """
    if not isinstance(value, str) or isinstance(value, Code):
        return None
    if not value.isascii():
        if _BROKEN_UTF8.search(value):
            return None
        value = unicodedata.normalize("NFC", value)
    if ("<" in value or "&" in value) and _HTML.search(value):
        value = _text_of_html(value)
    if _VISIBLE.search(value) is None:
        return ""
    return value.replace("\r\n", "\n").replace("\r", "\n").strip()


def _text_of_html(value: str) -> str:
    from inscriptis import get_text
    from inscriptis.css_profiles import CSS_PROFILES
    from inscriptis.model.config import ParserConfig

    text: str = get_text(value, ParserConfig(css=CSS_PROFILES["strict"]))
    # Characters that were entities come out of the library composed as they were written.
    return unicodedata.normalize("NFC", text.replace("\xa0", " "))
