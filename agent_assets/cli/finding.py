"""What `agent-assets doctor` says about one thing it looked at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `fix` is a command or an action. An optional thing may be absent; an
    exposed one works, and lets others in.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""
    optional: bool = False
    exposed: bool = False

    @property
    def state(self) -> str:
        """As it is printed."""
        if self.ok:
            return "ok"
        return "OPEN" if self.exposed else "absent" if self.optional else "MISSING"
