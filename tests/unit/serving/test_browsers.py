"""Which web pages may reach a listener, by what a browser writes into the headers of their
requests.
"""

import asyncio

import pytest
from starlette.requests import HTTPConnection

from agent_assets.serving.browsers import Pages, is_own_page

OWN, OTHER_PORT, EVIL = "http://127.0.0.1:3000", "http://127.0.0.1:8888", "https://evil.example"
DOCUMENT = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def connection(*headers: tuple[str, str], method: str = "GET", **more: str) -> HTTPConnection:
    sent = dict(headers) or {"host": "127.0.0.1:3000"}
    pairs = [*(sent | {"host": sent.get("host", "127.0.0.1:3000")} | more).items()]
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in pairs]
    return HTTPConnection({"type": "http", "method": method, "path": "/", "headers": raw})


def foreign(request: HTTPConnection, *, tokens: bool = False, listed: tuple[str, ...] = ()) -> bool:
    return asyncio.run(Pages(lambda: tokens, listed).foreign(request))


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "127.0.0.1", "localhost:3000", "LOCALHOST", "[::1]:3000"]
)
def test_names_of_this_machine(host: str) -> None:
    assert not foreign(connection(("host", host)))
    assert not foreign(connection(("host", host), ("origin", f"http://{host}")))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:3000",
        "localhost.evil.example",
        "127.0.0.1:3000@evil",
        "",
    ],
)
def test_a_page_whose_name_was_bound_to_this_address(host: str) -> None:
    """DNS rebinding: to the browser it is one origin, so Host is all that tells."""
    assert foreign(
        connection(("host", host), ("origin", f"http://{host}"), ("sec-fetch-site", "same-origin"))
    )


def test_once_there_are_tokens_any_name_will_do() -> None:
    request = connection(("host", "agents.example.com"), ("origin", "https://agents.example.com"))
    assert foreign(request) and not foreign(request, tokens=True)
    assert foreign(connection(("host", "agents.example.com"), ("origin", EVIL)), tokens=True)


@pytest.mark.parametrize(
    "origin", [EVIL, OTHER_PORT, "null", "http://127.0.0.1", f"{OWN}.evil.example", f"{OWN}/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_origin(origin: str, method: str) -> None:
    assert foreign(connection(("origin", origin), method=method))
    assert foreign(connection(("origin", origin), method=method), tokens=True)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new"])
def test_what_an_image_a_script_or_a_frame_of_another_site_fetches(site: str) -> None:
    assert foreign(
        connection(
            ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")
        )
    )
    assert foreign(
        connection(
            ("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")
        )
    )
    assert foreign(connection(("sec-fetch-site", site), *DOCUMENT.items(), method="POST"))
    # A link that a person follows shows him a page, and changes nothing.
    assert not foreign(connection(("sec-fetch-site", site), *DOCUMENT.items()))


def test_two_hosts_or_two_origins() -> None:
    twice = connection()
    twice.scope["headers"].append((b"host", b"evil.example"))
    assert foreign(HTTPConnection(twice.scope))
    twice = connection(("origin", OWN))
    twice.scope["headers"].append((b"origin", EVIL.encode()))
    assert foreign(HTTPConnection(twice.scope))


def test_a_listed_origin_reaches_us_and_has_no_use_of_our_log_in() -> None:
    request = connection(("origin", EVIL), ("sec-fetch-site", "cross-site"), method="POST")
    assert not foreign(request, listed=(EVIL,))
    assert not is_own_page(request)
    assert is_own_page(connection()) and is_own_page(
        connection(("origin", OWN), ("sec-fetch-site", "same-origin"))
    )
    assert not is_own_page(connection(("sec-fetch-site", "same-site"), *DOCUMENT.items()))
