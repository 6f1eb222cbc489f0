"""Signatures and tickets of an installation."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from agent_assets.errors import ConfigError
from agent_assets.serving.seals import Seal, key_file
from agent_assets.settings import load_settings


def test_a_ticket_is_good_for_its_place_and_its_time_and_one_key() -> None:
    seal = Seal(b"key")
    ticket = seal.ticket("0a1b2c3d", "u1000", 60)
    assert seal.bearer(ticket, "u1000") == "0a1b2c3d"
    assert seal.bearer(ticket, "u1001") is None
    assert seal.bearer(seal.ticket("0a1b2c3d", "u1000", -1), "u1000") is None
    assert Seal(b"other").bearer(ticket, "u1000") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda ticket: ticket.replace("0a1b2c3d", "ffffffff"),
        lambda ticket: ticket[:-1] + ("0" if ticket[-1] != "0" else "1"),
        lambda ticket: ticket.replace(".u1000.", ".u1000.9"),
        lambda ticket: ticket.removesuffix(ticket.rpartition(".")[2]),
        lambda _: "aas....",
        lambda _: "aas.é.ü",
        lambda _: "",
    ],
)
def test_a_changed_ticket_is_none(change: object) -> None:
    seal = Seal(b"key")
    assert seal.bearer(change(seal.ticket("0a1b2c3d", "u1000", 60)), "u1000") is None  # type: ignore[operator]


def test_a_signature_for_one_purpose_is_none_for_another() -> None:
    seal = Seal(b"key")
    assert seal.holds("token", "text", seal.sign("token", "text"))
    assert not seal.holds("token", "text", seal.sign("ticket", "text"))
    assert not seal.holds("token", "text", None)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    settings = replace(load_settings({}), home=tmp_path)
    assert Seal.of(settings).name == Seal.of(settings).name
    assert stat.S_IMODE(key_file(settings).stat().st_mode) == 0o600
    key_file(settings).chmod(0o640)
    with pytest.raises(ConfigError, match="other users of this machine may read it") as error:
        Seal.of(settings)
    assert str(key_file(settings)) in (error.value.next_step or "")


def test_hosts_with_one_secret_know_each_others_tickets(tmp_path: Path) -> None:
    hosts = [
        replace(load_settings({}), home=tmp_path / name, secret="s" * 32) for name in ("a", "b")
    ]
    ticket = Seal.of(hosts[0]).ticket("0a1b2c3d", "remote", 60)
    assert Seal.of(hosts[1]).bearer(ticket, "remote") == "0a1b2c3d"
    assert not key_file(hosts[0]).exists()
    with pytest.raises(ConfigError, match="AGENT_ASSETS_SECRET"):
        Seal.of(replace(hosts[0], secret="short"))
