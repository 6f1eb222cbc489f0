"""What `agent-assets doctor` marks as open to others."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent_assets.cli.doctor.privacy import examine_privacy
from agent_assets.settings import Settings, load_settings
from support.local_http import LocalHandler, LocalServer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return replace(
        load_settings({}),
        home=home,
        store=str(home / "store"),
        mongodb_uri="mongodb://u:p@127.0.0.1:1/",
        dagster_url="http://127.0.0.1:1",
    )


def open_things(settings: Settings) -> dict[str, str]:
    return {
        finding.name: finding.detail
        for finding in examine_privacy(settings)
        if finding.state == "OPEN"
    }


def test_a_closed_installation(settings: Settings) -> None:
    (finding,) = examine_privacy(settings)
    assert (finding.state, finding.name) == ("ok", "privacy")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://127.0.0.1:27017/", ["every user of this machine"]),
        ("mongodb://db.example.org/?tls=true", ["everybody who reaches it over the network"]),
        ("mongodb://db.example.org/", ["over the network", "not encrypted"]),
        ("mongodb://u:p@db.example.org/", ["db.example.org is not encrypted"]),
        ("mongodb://u:p@db.example.org/?tls=true", []),
        ("mongodb://db.example.org/?tls=true&authMechanism=MONGODB-X509", []),
        ("mongodb://u:p@%2Frun%2Fmongod.sock/", []),
        ("no address", []),  # a finding of its own, not one of privacy
    ],
)
def test_a_mongodb_that_lets_others_in(settings: Settings, uri: str, expected: list[str]) -> None:
    findings = [
        finding
        for finding in examine_privacy(replace(settings, mongodb_uri=uri))
        if finding.state == "OPEN"
    ]
    assert len(findings) == len(expected)
    for finding, words in zip(findings, expected, strict=True):
        assert words in finding.detail and finding.fix and "u:p" not in finding.detail


def test_modes(settings: Settings, tmp_path: Path) -> None:
    shared = tmp_path / "store"
    for folder, mode in ((settings.home / "logs", 0o755), (shared, 0o750)):
        folder.mkdir()
        folder.chmod(
            mode
        )  # whatever the umask is: commands that ran before in this process have set it
    details = open_things(replace(settings, store=str(shared)))
    assert (
        f"{settings.home / 'logs'} (mode 755)" in details["home"] and "mode 750" in details["store"]
    )


def test_a_code_server_on_a_port_and_a_ui_without_a_guard(settings: Settings) -> None:
    settings.workspace.write_text(
        "load_from: [{grpc_server: {host: 127.0.0.1, port: 1}}]", encoding="utf-8"
    )
    settings.workspace.chmod(0o600)

    class Bare(LocalHandler):
        """As `dagster-webserver`: it answers to any name."""

        def do_GET(self) -> None:
            self.reply(200, {"dagster_webserver_version": "1.13.27"})

    with LocalServer(Bare).running() as server:
        url = f"http://127.0.0.1:{server.server_port}"
        details = open_things(replace(settings, dagster_url=url))
    assert set(details) == {"code server", "Dagster UI"} and url in details["Dagster UI"]


def test_a_mongod_of_an_earlier_version_that_runs(settings: Settings) -> None:
    data = settings.mongo_data
    data.mkdir(mode=0o700)
    state = data / "mongod.json"
    state.write_text(f'{{"port": 1, "pid": {os.getpid()}}}', encoding="utf-8")
    state.chmod(0o600)
    # The process id was used again: it is this test, which runs no database there.
    assert open_things(replace(settings, mongodb_uri=None)) == {}
