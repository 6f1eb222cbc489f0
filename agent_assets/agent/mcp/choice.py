"""Which tools of its servers a pipeline takes: `tools.only` and `tools.without` in defs.yaml."""

from collections.abc import Set
from dataclasses import dataclass, field

from agent_assets.errors import ConfigError


@dataclass(frozen=True)
class ToolChoice:
    """Which of the usable tools are taken. Tools are named as their server or as models call them,
    or as `server/name`.

    Args:
        only: these and no others; None takes all.
        without: these are left out.
    """

    only: tuple[str, ...] | None = None
    without: tuple[str, ...] = field(default=())

    def reason(self, names: Set[str]) -> str | None:
        """Why a tool of these names is left out; None where it is taken."""
        if self.only is not None and names.isdisjoint(self.only):
            return "tools.only does not name it"
        return None if names.isdisjoint(self.without) else "tools.without names it"

    def check(self, known: Set[str]) -> None:
        """See that every name is one of `known`.

        Raises:
            ConfigError: one is not: a misspelt name would let in what was to be left out.
        """
        for key, names in (("only", self.only or ()), ("without", self.without)):
            unknown = [name for name in names if name not in known]
            if unknown:
                plain = sorted(name for name in known if "/" not in name)
                raise ConfigError(
                    f"tools.{key} names the tool {unknown[0]!r}, which no server has.",
                    next_step=f"name one of {', '.join(plain) or '(there are none)'}.",
                )


EVERY_TOOL = ToolChoice()
