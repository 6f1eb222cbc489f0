"""What an mcp_config.json means to the servers it names, as fingerprints hold it: neither its
bytes nor any key.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

from agent_assets.agent.mcp.config import Entry, read_entries
from agent_assets.agent.mcp.entries.http_apis import HttpApi
from agent_assets.conversations.messages import canonical_json
from agent_assets.errors import ConfigError

_KEY = re.compile(r"authorization|cookie|token|secret|passw|api[-_]?key|credential", re.IGNORECASE)
_VALUE_OF_A_KEY = ""


def meaning_hash(content: bytes) -> str:
    """Hash (32 hex digits) of the enabled servers and what reaches them.

    White space, the order of keys, descriptions, disabled servers and ways to write the same
    transport do not count; a variable counts by its name. Nor do values count that stand under the
    name of a key, a token or a password: who renews one asks the same server. A file that cannot
    be read counts byte by byte: whoever opens its servers says what is wrong.
    """
    try:
        entries = read_entries(content.decode("utf-8"), source="mcp_config.json")
    except (ConfigError, UnicodeDecodeError):
        return _digest(content)
    meant = {name: _meant(entry) for name, entry in entries.items() if not entry.disabled}
    return _digest(canonical_json(meant).encode())


def _meant(entry: Entry) -> dict[str, object]:
    own = (
        {
            "openapi": entry.openapi and _url_without_keys(entry.openapi),
            "fastapi": entry.fastapi,
            "include": sorted(entry.include),
            "exclude": sorted(entry.exclude),
        }
        if isinstance(entry, HttpApi)
        else {"way": entry.way, "command": entry.command, "args": entry.args}
    )
    values = own | {
        "env": _without_keys(entry.env),
        "cwd": entry.cwd,
        "url": entry.url and _url_without_keys(entry.url),
        "headers": _without_keys({key.lower(): text for key, text in entry.headers.items()}),
    }
    return {key: value for key, value in values.items() if value}


def _without_keys(values: Mapping[str, str]) -> dict[str, str]:
    return {name: _VALUE_OF_A_KEY if _KEY.search(name) else value for name, value in values.items()}


def _url_without_keys(url: str) -> list[object]:
    parts = urlsplit(url)
    query = _without_keys(dict(parse_qsl(parts.query, keep_blank_values=True)))
    host = parts.netloc.rpartition("@")[2]
    return [parts.scheme, host, parts.path, query]


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:32]
