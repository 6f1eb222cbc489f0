"""What `http_api` is told when it is started, and how it says why it did not start. Standard
library only: whoever starts it does not load what it needs.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

_VARIABLE = "AGENT_ASSETS_HTTP_API"  # not an argument: everybody may read those of a process
_PROBLEM = "agent-assets: "


@dataclass(frozen=True)
class HttpApiSettings:
    """An HTTP API whose operations are to be tools.

    Args:
        openapi: URL or file of its OpenAPI document; None where `fastapi` is given.
        fastapi: `module:app`, an application that runs in the server's own process.
        base_url: of the API; None takes the one that its document names.
        headers: sent with every request.
        include: patterns of the operations to take; none takes all.
        exclude: patterns of those to leave out.
    """

    openapi: str | None = None
    fastapi: str | None = None
    base_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """The environment variable that hands them over."""
        return {_VARIABLE: json.dumps(asdict(self))}


def handed_over(environment: Mapping[str, str]) -> HttpApiSettings:
    """The settings in an environment.

    Raises:
        KeyError: there are none.
    """
    values = json.loads(environment[_VARIABLE])
    return HttpApiSettings(**values | {key: tuple(values[key]) for key in ("include", "exclude")})


def problem_line(problem: str) -> str:
    """The line in which the server says why it does not start."""
    return _PROBLEM + " ".join(problem.split())


def problem_in(log: str) -> str | None:
    """The last such problem in its log; None where there is none."""
    lines = [line for line in log.splitlines() if line.startswith(_PROBLEM)]
    return lines[-1].removeprefix(_PROBLEM) if lines else None
