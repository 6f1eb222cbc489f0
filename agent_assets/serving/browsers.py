"""Web pages in browsers on this machine: which of them may reach a listener of ours.

A page of another origin can make a browser send requests here. Such a request shows in its `Host`
(DNS rebinding: the page's own name), in `Origin`, or in `Sec-Fetch-Site`, none of which a page can
set. Programs send none of the last two.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

_LOCAL_HOSTS = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?", re.IGNORECASE)
_OWN_SITES = {"same-origin", "none"}  # none: typed, or a bookmark


@dataclass(frozen=True)
class Pages:
    """The rule.

    Args:
        tokens_made: whether a token was ever made; before that, we answer to names of this machine
            alone. It may block.
        origins: other origins whose pages may reach us.
    """

    tokens_made: Callable[[], bool]
    origins: Collection[str] = ()

    async def foreign(self, connection: HTTPConnection) -> bool:
        """Whether a request or a websocket comes from a page that may not reach us."""
        hosts, origins = (connection.headers.getlist(name) for name in ("host", "origin"))
        if len(hosts) != 1 or len(origins) > 1:
            return True
        if origins and not self._may_come_from(origins[0], hosts[0]):
            return True
        if not self._listed(origins) and _is_of_another_site(connection):
            return True
        return not _LOCAL_HOSTS.fullmatch(hosts[0]) and not await run_in_threadpool(
            self.tokens_made
        )

    def _may_come_from(self, origin: str, host: str) -> bool:
        # A proxy in front of us may speak TLS: the host with its port is what tells origins apart
        # here.
        return origin.lower() in {
            f"{scheme}://{host.lower()}" for scheme in ("http", "https")
        } or self._listed([origin])

    def _listed(self, origins: Collection[str]) -> bool:
        return any(origin in self.origins for origin in origins)


def is_own_page(connection: HTTPConnection) -> bool:
    """Whether a log-in of the browser counts: the request comes from a page of ours, or from no
    page. A page in the list of other origins brings a token.
    """
    origin, host = connection.headers.get("origin"), connection.headers.get("host", "")
    own = origin is None or origin.lower().rpartition("://")[2] == host.lower()
    return own and connection.headers.get("sec-fetch-site", "none") in _OWN_SITES


def is_navigation(connection: HTTPConnection) -> bool:
    """Whether a person follows a link or types an address: the answer is shown, and no page can
    read it.
    """
    headers = connection.headers
    method = connection.scope.get("method")
    return (
        method in {"GET", "HEAD"}
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _is_of_another_site(connection: HTTPConnection) -> bool:
    """`same-site` counts as another: a page of another port of this machine is not ours."""
    site = connection.headers.get("sec-fetch-site")
    return site is not None and site not in _OWN_SITES and not is_navigation(connection)
