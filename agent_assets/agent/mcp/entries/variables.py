"""`${name}` and `${env:NAME}` in an mcp_config.json. What the second kind stands for may be a key:
it reaches the server, and nothing that we write.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent_assets.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_ENVIRONMENT = "env:"
_Json = TypeVar("_Json")
_SHORTEST_KEY = 16  # a shorter value may be a host or a port, which a tool may well name


@dataclass(frozen=True)
class Secrets:
    """Values of environment variables that a configuration uses.

    Args:
        names: by value, the variable.
    """

    names: Mapping[str, str] = field(default_factory=dict, repr=False)

    def hidden(self, text: str) -> str:
        """A text of ours or of a library, with `${env:NAME}` in the place of each value."""
        return _replaced(text, self.names)

    def hidden_in_answer(self, value: _Json) -> _Json:
        """What a server answered, the same way; only values as long as a key are replaced."""
        keys = {key: name for key, name in self.names.items() if len(key) >= _SHORTEST_KEY}
        return _replaced_everywhere(value, keys) if keys else value


class Variables:
    """Fills in variables, and remembers which of the environment were used.

    Args:
        values: of `${name}`.
        environment: of `${env:NAME}`.
    """

    def __init__(self, values: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._values, self._environment = values, environment
        self._used: dict[str, str] = {}

    @property
    def secrets(self) -> Secrets:
        """What was used of the environment so far."""
        return Secrets(dict(self._used))

    def filled(self, text: str, source: str, *, one_line: bool = False) -> str:
        """A text with the value of each variable in its place; values are not read again.

        Args:
            source: file and server, for errors.
            one_line: it goes into a URL or a header, which hold printable ASCII alone.

        Raises:
            ConfigError: a variable is unknown, not set or empty, or does not fit in one line.
        """

        def look_up(match: re.Match[str]) -> str:
            name = match.group(1)
            if name.startswith(_ENVIRONMENT):
                return self._from_environment(name.removeprefix(_ENVIRONMENT), source, one_line)
            if name not in self._values:
                known = ", ".join(sorted(self._values))
                raise ConfigError(
                    f"{source} uses the unknown variable ${{{name}}}.",
                    next_step=f"use one of {known or '(there are none)'}, or ${{env:NAME}}.",
                )
            return self._values[name]

        return _VARIABLE.sub(look_up, text)

    def _from_environment(self, name: str, source: str, one_line: bool) -> str:
        value = self._environment.get(name)
        if not value:
            state = "not set" if value is None else "empty"
            raise ConfigError(
                f"{source} uses ${{env:{name}}}, and the environment variable {name} is {state}.",
                next_step=f"set {name} where agent-assets runs, or disable the server.",
            )
        if one_line and not (value.isascii() and value.isprintable()):
            raise ConfigError(
                f"{source} uses ${{env:{name}}} in a URL or a header, and the value of {name} "
                "holds a line break or another character that cannot stand there.",
                next_step=f"set {name} without it.",
            )
        self._used[value] = name
        return value


def _replaced(text: str, names: Mapping[str, str]) -> str:
    # The longest first: one value may be part of another.
    for value in sorted(names, key=len, reverse=True):
        text = text.replace(value, f"${{env:{names[value]}}}")
    return text


def _replaced_everywhere(value: _Json, names: Mapping[str, str]) -> _Json:
    def replaced(part: Any) -> Any:
        if isinstance(part, str):
            return _replaced(part, names)
        if isinstance(part, dict):
            return {replaced(key): replaced(item) for key, item in part.items()}
        return [replaced(item) for item in part] if isinstance(part, list) else part

    result: _Json = replaced(value)
    return result
