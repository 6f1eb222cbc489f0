"""Partition keys of elders: an id as it is where it can name a folder, and otherwise written so
that it can be read back.

An id of letters, digits, `_`, `.` and `-` is its own key. Any other one (an e-mail address, a
Chinese name) is percent-encoded with `~` in place of `%`, which no plain id contains, so that no
two ids share a key: `ann@example.org` becomes `ann~40example.org`.
"""

import re
from urllib.parse import quote, unquote

from agent_assets.store.artifact_store import UNPARTITIONED

_PLAIN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEY = re.compile(r"[A-Za-z0-9_.~-]+")
MAX_KEY_CHARS = 200  # a file name has 255, and some carry a key and an ending


def is_plain_id(text: str) -> bool:
    """Whether an id is its own partition key. "." and ".." are no names of a folder, "_" is that of
    nobody's, and Dagster reads "..." as a range.
    """
    return _PLAIN_ID.fullmatch(text) is not None and not _is_special(text)


def partition_key(elder_id: str) -> str | None:
    """The partition key of an elder's id; None where it has none: it is empty, not valid text, or
    too long.
    """
    if is_plain_id(elder_id):
        return elder_id
    try:
        escaped = quote(elder_id, safe="").replace("~", "%7E")
    except UnicodeEncodeError:  # half a surrogate
        return None
    if _is_special(elder_id):
        escaped = escaped.replace(".", "%2E")
        escaped = "%5F" if escaped == UNPARTITIONED else escaped
    key = escaped.replace("%", "~")
    return key if 0 < len(key) <= MAX_KEY_CHARS else None


def elder_id_of_key(key: str) -> str | None:
    """The elder's id that has this partition key; None where no id has it."""
    if is_plain_id(key):
        return key
    if _KEY.fullmatch(key) is None:
        return None
    try:
        elder_id = unquote(key.replace("~", "%"), errors="strict")
    except UnicodeDecodeError:
        return None
    return elder_id if partition_key(elder_id) == key else None


def as_partition_key(text: str) -> str:
    """The key of what a person names an elder by: the key itself, or the elder's id. What is
    neither is nobody's, and is returned as it is.
    """
    return text if elder_id_of_key(text) is not None else partition_key(text) or text


def _is_special(text: str) -> bool:
    return text in (".", "..", UNPARTITIONED) or "..." in text
