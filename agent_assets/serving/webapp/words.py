"""What the pages say, in the language of whoever reads them. Each language is one catalog."""

from datetime import datetime
from functools import cache
from typing import Any

from starlette.requests import Request

from agent_assets.serving.webapp.words_en import WORDS as ENGLISH
from agent_assets.serving.webapp.words_zh import WORDS as CHINESE

CATALOGS = {"en": ENGLISH, "zh": CHINESE}
NAMES = {"en": "English", "zh": "中文"}
DEFAULT = "en"
COOKIE = "agent_assets_language"


class Words:
    """One language.

    Args:
        code: of CATALOGS.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self._catalog = CATALOGS[code]

    def __call__(self, key: str, /, **values: Any) -> str:
        """A sentence with its values. A key that no catalog has is an error of ours."""
        return self._catalog[key].format(**values)

    def count(self, key: str, number: int, /, **values: Any) -> str:
        """A sentence with a number: `<key>.one` for exactly one thing, else `<key>.other`."""
        form = "one" if number == 1 else "other"
        return self(f"{key}.{form}", n=f"{number:,}", **values)

    def has(self, key: str) -> bool:
        """Whether there is a sentence of this key."""
        return key in self._catalog

    def date(self, moment: str) -> str:
        """A day as people write it: `3 March 2024`, `2024年3月3日`; "" where nobody knows."""
        try:
            day = datetime.fromisoformat(moment)
        except ValueError:
            return ""
        return self("date", day=day.day, month=self(f"month.{day.month}"), year=day.year)

    def time(self, moment: str) -> str:
        """A day and a time of day, UTC."""
        try:
            at = datetime.fromisoformat(moment)
        except ValueError:
            return ""
        return f"{self.date(moment)}, {at:%H:%M} UTC"

    def minutes(self, seconds: float) -> str:
        """A time left, rounded as people say it."""
        if seconds < 60:
            return self("time.under_a_minute")
        if seconds < 5400:
            return self.count("time.minutes", round(seconds / 60))
        return self.count("time.hours", round(seconds / 3600))


@cache
def words_in(code: str) -> Words:
    """The words of a language."""
    return Words(code)


def words_for(request: Request) -> Words:
    """The language of a reader: the one they chose, else what their browser asks for."""
    chosen = (request.query_params.get("lang"), request.cookies.get(COOKIE))
    for code in (*chosen, *_accepted(request.headers.get("accept-language", ""))):
        if code in CATALOGS:
            return words_in(code)
    return words_in(DEFAULT)


def _accepted(header: str) -> list[str]:
    """Languages of an `Accept-Language` header, the most wanted first."""
    wanted = []
    for part in header[:500].split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        wanted.append((-weight, tag.partition("-")[0].lower()))
    return [code for _, code in sorted(wanted, key=lambda entry: entry[0])]
