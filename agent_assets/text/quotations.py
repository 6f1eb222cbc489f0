"""Quotations, which are the same in all languages that use these signs."""

import re

_QUOTED = re.compile(r"[「『《“]([^」』》”]{2,40})[」』》”]")


def unknown_quotations(text: str, sources: str) -> set[str]:
    """What a text quotes and no source holds, spaces and case left out."""
    bare = "".join(sources.split()).lower()
    return {
        quoted for quoted in _QUOTED.findall(text) if "".join(quoted.split()).lower() not in bare
    }
