"""What `agent-assets doctor` looks at for the sake of privacy: who else of this machine or network
gets in.
"""

import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import yaml
from pymongo.errors import ConfigurationError, PyMongoError
from pymongo.uri_parser import parse_uri

from agent_assets.cli.finding import Finding
from agent_assets.mongo.embedded.mongod import open_mongod
from agent_assets.privacy import exposures
from agent_assets.runs.history_secrets import old_secrets
from agent_assets.serving.neighbours import is_loopback
from agent_assets.settings import Settings

_SHOWN = 3
_open = partial(Finding, ok=False, exposed=True)


def examine_privacy(settings: Settings) -> list[Finding]:
    """What others can reach. Changes nothing."""
    findings = [
        *_home(settings),
        *_store(settings),
        *_mongodb(settings),
        *_listeners(settings),
        *_history(settings),
    ]
    return findings or [
        Finding("privacy", True, "home, databases and listeners are closed to others")
    ]


def _home(settings: Settings) -> Iterator[Finding]:
    exposed = exposures(settings.home)
    if exposed:
        more = f" and {len(exposed) - _SHOWN} more" if len(exposed) > _SHOWN else ""
        detail = f"other users reach {', '.join(map(str, exposed[:_SHOWN]))}{more}"
        fix = f"`agent-assets up` closes it; or chmod -R go= {settings.home}"
        yield _open(name="home", detail=detail, fix=fix)


def _store(settings: Settings) -> Iterator[Finding]:
    folder = Path(settings.store)
    if "://" in settings.store or folder.is_relative_to(settings.home) or not folder.is_dir():
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        detail = f"{folder} holds what people told, and is open to other users (mode {mode:03o})"
        yield _open(
            name="store", detail=detail, fix=f"chmod go= {folder}, unless they are to read it"
        )


def _mongodb(settings: Settings) -> Iterator[Finding]:
    if not settings.mongodb_uri:
        pid = open_mongod(settings.mongo_data)
        if pid is not None:
            detail = f"process {pid}, of an earlier version, lets everybody of this machine in"
            yield _open(
                name="MongoDB", detail=detail, fix="stop that version, then `agent-assets up`"
            )
        return
    try:
        parsed = parse_uri(settings.mongodb_uri)
    except (PyMongoError, ConfigurationError, ValueError):
        return  # that is a finding of its own
    far = [
        host
        for host, _ in parsed["nodelist"]
        if "/" not in host and host != "localhost" and not is_loopback(host)
    ]
    if not parsed["username"] and "authmechanism" not in {
        name.lower() for name in parsed["options"]
    }:
        who = "everybody who reaches it over the network" if far else "every user of this machine"
        detail = f"MONGODB_URI names no user: {who} may read all memories, and change tokens"
        yield _open(
            name="MongoDB",
            detail=detail,
            fix="switch its authentication on, and put a user into MONGODB_URI",
        )
    options = {name.lower(): value for name, value in parsed["options"].items()}
    if far and not (options.get("tls") or options.get("ssl")):
        detail = f"the connection to {', '.join(far)} is not encrypted"
        yield _open(name="MongoDB", detail=detail, fix="add tls=true to MONGODB_URI")


def _listeners(settings: Settings) -> Iterator[Finding]:
    if _has_code_server_port(settings):
        detail = (
            "the code server listens on a port, where every user of this machine "
            "executes "
            "what he likes"
        )
        yield _open(
            name="code server",
            detail=detail,
            fix="stop that version of `agent-assets up`, and start this one",
        )
    url = settings.dagster_url
    if _answers_to_any_name(url):
        detail = f"{url} answers to any Host: a web page can read it and start runs"
        yield _open(
            name="Dagster UI",
            detail=detail,
            fix="start it with `agent-assets up`, not dagster-webserver",
        )


def _has_code_server_port(settings: Settings) -> bool:
    if not settings.workspace.is_file():
        return False
    content = yaml.safe_load(settings.workspace.read_text(encoding="utf-8")) or {}
    return any("port" in entry.get("grpc_server", {}) for entry in content.get("load_from", ()))


def _answers_to_any_name(url: str) -> bool:
    """As a page does whose name was bound to this address (DNS rebinding)."""
    try:
        reply = httpx.get(f"{url}/server_info", headers={"Host": "page.invalid"}, timeout=2.0)
    except httpx.HTTPError:
        return False  # nothing listens
    return reply.status_code == 200 and "dagster_webserver_version" in reply.text


def _history(settings: Settings) -> Iterator[Finding]:
    count = old_secrets(settings)
    if count:
        detail = f"{count} entries of Dagster's history hold passwords, left by an earlier version"
        yield _open(
            name="history",
            detail=detail,
            fix="`agent-assets up` removes them; then change those passwords",
        )
