"""Names of tools as models are given them.

MCP allows names of 128 characters with dots, and servers use others still; model servers take 1 to
64 letters, digits, `_` and `-`. A tool whose name they do not take has an alias: models read and
write that, and the server is called by its own name.
"""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256

MAX_LENGTH = 64
_SAFE = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_LENGTH}}}")
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")
_HASH_LENGTH = 8


def is_safe_name(name: str) -> bool:
    """Whether model servers take a name as it is."""
    return _SAFE.fullmatch(name) is not None


def aliases(names: Iterable[str]) -> dict[str, str]:
    """A safe name for each of the tools that are offered together: its own where that is safe.

    Of others each run of other characters becomes `_`. Where that leaves nothing to read, is too
    long, or is what another tool is called, the alias ends with a hash of the name, so that it
    depends neither on an order nor on a number.
    """
    unique = set(names)
    safe = {name for name in unique if is_safe_name(name)}
    readable = {name: _OTHERS.sub("_", name).strip("_-") for name in unique - safe}
    wanted = Counter([*readable.values(), *safe])
    aliases_of_others = {
        name: _alias(name, text, clash=wanted[text] > 1) for name, text in readable.items()
    }
    return {name: name for name in safe} | aliases_of_others


def _alias(name: str, readable: str, *, clash: bool) -> str:
    if is_safe_name(readable) and not clash:
        return readable
    ending = sha256(name.encode(errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
    room = MAX_LENGTH - len(ending) - 1
    return f"{readable[:room].rstrip('_-') or 'tool'}_{ending}"
