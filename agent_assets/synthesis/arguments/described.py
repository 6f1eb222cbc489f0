"""Values that a parameter's description tells people, where its schema tells machines nothing."""

import re
from random import Random

_QUOTED = r"'[^']+'|\"[^\"]+\"|`[^`]+`|“[^”]+”"
_LIST = rf"(?:\s*(?:,|，|、|or|and|或)?\s*(?:{_QUOTED}))+"
_EXAMPLES = re.compile(
    rf"(?:e\.g\.|for example|for instance|such as|例如|比如)[,:，：]?({_LIST})", re.IGNORECASE
)
_CLOCK = re.compile(r"\bHH:MM(:SS)?\b")


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
