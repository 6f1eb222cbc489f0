"""Who is asking: one rule for the HTTP API and the Dagster UI.

1. A bearer token, or a ticket of this installation's own services.
2. A log-in: a ticket in a cookie, which counts for requests of our own pages. Cookies do not know
   ports, so one log-in serves API and UI of a host.
3. Neither: before there are tokens, the user who runs this process; afterwards nobody. Programs
   made for OpenAI always send a key, so before there are tokens any key counts as none.
"""

import os
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from agent_assets.errors import ConfigError
from agent_assets.serving.browsers import is_own_page
from agent_assets.serving.neighbours import is_loopback, owner
from agent_assets.serving.proxies import is_passed_on
from agent_assets.serving.seals import Seal, is_ticket
from agent_assets.serving.tokens import LOCAL, SERVICE, Caller, Denied, Tokens

LOGIN_SECONDS = 12 * 3600.0
_SERVICE_SECONDS = 60.0
_ANYWHERE = "any"


@dataclass(frozen=True)
class Door:
    """Identifies the caller of a request."""

    tokens: Tokens
    seal: Seal

    @property
    def cookie(self) -> str:
        """Name of the cookie with a log-in. Installations on one host have names of their own."""
        return f"agent_assets_{self.seal.name}"

    def caller(self, connection: HTTPConnection) -> Caller:
        """Identify the caller. It blocks.

        Raises:
            Denied: nobody we know.
            MongoUnavailable: the tokens cannot be read.
        """
        header = connection.headers.get("authorization")
        if header is not None:
            scheme, _, credential = header.partition(" ")
            credential = credential.strip() if scheme.lower() == "bearer" else ""
            try:
                return self.holder(credential)
            except Denied:
                if is_ticket(credential) or self.tokens.any():
                    raise
            return self._local(connection)
        ticket = connection.cookies.get(self.cookie)
        if ticket and is_own_page(connection):
            return self.tokens.holder(self._bearer(ticket, _peer(connection)))
        if self.tokens.any():
            raise Denied(
                "A valid bearer token is needed.",
                next_step="make one with `agent-assets token create`.",
            )
        return self._local(connection)

    def _local(self, connection: HTTPConnection) -> Caller:
        """Who asks before there are tokens. A proxy of the same user, such as a tunnel, would make
        everybody behind it that user.
        """
        if not is_passed_on(connection) and _peer(connection) == f"u{os.getuid()}":
            return LOCAL
        raise Denied(
            "Before there are tokens, only the user who runs this installation is let in, from the "
            "same machine and not through a proxy.",
            next_step="that user makes one with `agent-assets token create`.",
        )

    def holder(self, credential: str) -> Caller:
        """Who a token or a service's ticket stands for.

        Raises:
            Denied: nobody.
        """
        if not is_ticket(credential):
            return self.tokens.check(credential)
        if self._bearer(credential, _ANYWHERE) != SERVICE.id:
            raise _over()
        return SERVICE

    def log_in(self, token: str, connection: HTTPConnection) -> str:
        """A ticket for a token. It is good for the user of the machine who logs in: other local
        servers get the same cookies, because those do not know ports, and must not be able to use
        them.

        Raises:
            Denied: the token is not valid.
        """
        return self.seal.ticket(self.tokens.check(token).id, _peer(connection), LOGIN_SECONDS)

    def _bearer(self, ticket: str, place: str) -> str:
        bearer = self.seal.bearer(ticket, place)
        if bearer is None:
            raise _over()
        return bearer


def check_reachable(host: str, tokens: Tokens) -> None:
    """Other machines reach a service only when it asks for a token.

    Raises:
        ConfigError: the address is not loopback, and no token was ever made.
    """
    if not is_this_machine(host) and not tokens.any():
        raise ConfigError(
            f"{host} can be reached from other machines, and nobody would need a token.",
            next_step="make one first: `agent-assets token create --admin`.",
        )


def is_this_machine(host: str) -> bool:
    """Whether a service that listens on `host` can be reached from this machine alone."""
    return host == "localhost" or is_loopback(host)


def service_headers(seal: Seal) -> dict[str, str]:
    """What a service of this installation shows another: a ticket that lives for a minute."""
    return {"Authorization": f"Bearer {seal.ticket(SERVICE.id, _ANYWHERE, _SERVICE_SECONDS)}"}


def _peer(connection: HTTPConnection) -> str:
    """Where a connection comes from: `u1000`, a user of this machine, or `remote`. It is what the
    server saw: a header that a proxy or a neighbour adds says nothing here.
    """
    client, server = connection.scope.get("client"), connection.scope.get("server")
    if client is None or server is None or not is_loopback(client[0]):
        return "remote"
    user = owner((client[0], client[1]), (server[0], server[1]))
    return "gone" if user is None else f"u{user}"


def _over() -> Denied:
    return Denied("The log-in is over.", next_step="log in again.")
