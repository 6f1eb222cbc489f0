"""Values that a parameter's description tells people, where its schema tells machines nothing."""

import re
from random import Random

ISO_DAY = "%Y-%m-%d"
_ISO_TIME = "%Y-%m-%dT%H:%M:%SZ"

_QUOTED = r"'[^']+'|\"[^\"]+\"|`[^`]+`|“[^”]+”"
_LIST = rf"(?:\s*(?:,|，|、|or|and|或)?\s*(?:{_QUOTED}))+"
_EXAMPLES = re.compile(
    rf"(?:e\.g\.|for example|for instance|such as|例如|比如)[,:，：]?({_LIST})", re.IGNORECASE
)
_CLOCK = re.compile(r"\bHH:MM(:SS)?\b")
_DAY_FORM = re.compile(
    r"(?<![A-Za-z])(?P<day>YYYY(?P<a>[-/.]?)MM(?P=a)DD|DD(?P<b>[-/.])MM(?P=b)YYYY"
    r"|MM(?P<c>[-/.])DD(?P=c)YYYY|YYYY[-/.]MM)"
    r"(?:(?P<between>[T ])(?P<clock>HH:MM(?::SS)?)(?P<zone>Z)?)?(?![A-Za-z])",
    re.IGNORECASE,
)
_ISO = re.compile(r"\bISO[- ]?8601\b|\bISO (?:date|format)", re.IGNORECASE)
_MOMENT = re.compile(r"date-?time|timestamp|date and time", re.IGNORECASE)
_NO_DAY = re.compile(r"duration|interval|period|week", re.IGNORECASE)


def described_text(description: str, rng: Random) -> str | None:
    """A text that fits a description: one of its quoted examples, or a time of the form it asks
    for; None for neither.

    An example may be wrong: rows are executed, and one whose call fails is rejected.
    """
    examples: list[str] = [
        quoted[1:-1]
        for phrase in _EXAMPLES.findall(description)
        for quoted in re.findall(_QUOTED, phrase)
    ]
    if examples:
        return rng.choice(examples)
    clock = _CLOCK.search(description)
    if clock is None:
        return None
    return f"{rng.randrange(24):02d}:{rng.randrange(60):02d}" + (":00" if clock[1] else "")


def described_day(description: str) -> str | None:
    """How a description wants days written, as `strftime` takes it; None where it says nothing."""
    form = _DAY_FORM.search(description)
    if form is not None:
        day = form["day"].upper().replace("YYYY", "%Y").replace("MM", "%m").replace("DD", "%d")
        clock = (form["clock"] or "").upper()
        time = clock.replace("HH", "%H").replace("MM", "%M").replace("SS", "%S")
        return day + (form["between"].upper() + time if time else "") + (form["zone"] or "").upper()
    if _ISO.search(description) is None or _NO_DAY.search(description) is not None:
        return None
    if _MOMENT.search(description) is not None:
        return _ISO_TIME
    return ISO_DAY if re.search(r"\bdate\b", description, re.IGNORECASE) else None
