"""Files, folders and sockets that other users of the machine cannot reach."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent_assets.errors import ConfigError
from agent_assets.privacy import close_home, exposures, secret_file, socket_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_many_who_ask_at_once_get_one_secret(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"
    with ThreadPoolExecutor(16) as pool:
        secrets_read = set(pool.map(lambda _: secret_file(path), range(64)))
    assert len(secrets_read) == 1 and len(secrets_read.pop()) == 64
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize(("content", "permissions"), [("", 0o600), ("x", 0o604), ("x", 0o640)])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, content: str, permissions: int) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(permissions)
    with pytest.raises(ConfigError) as error:
        secret_file(path)
    assert f"rm {path}" in (error.value.next_step or "")


def test_a_socket_lies_in_its_folder_or_in_a_short_private_one(tmp_path: Path) -> None:
    near = Path("/tmp") / f"agent-assets-test-{os.getpid()}"
    try:
        assert socket_folder(near) == near and mode(near) == 0o700
    finally:
        near.rmdir()
    far = tmp_path / ("x" * 100)
    short = socket_folder(far)
    assert short == socket_folder(far) != socket_folder(tmp_path / ("y" * 100))
    assert len(os.fsencode(short / "code-server.sock")) <= 107 and mode(short) == 0o700


def test_a_short_folder_that_a_neighbour_made_first_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    far = tmp_path / ("z" * 100)
    short = socket_folder(far)
    short.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    short.symlink_to(elsewhere)
    try:
        with pytest.raises(ConfigError, match="belongs to somebody else"):
            socket_folder(far)
        short.unlink()
        short.mkdir()
        short.chmod(0o755)
        with pytest.raises(ConfigError, match="open to others"):
            socket_folder(far)
    finally:
        short.rmdir()


def test_an_open_home_is_closed_and_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    history = home / "dagster" / "history"
    history.mkdir(parents=True)
    (history / "runs.db").touch()
    (home / "store").mkdir()
    target = tmp_path / "elsewhere"
    target.mkdir()
    (home / "link").symlink_to(target)
    for path, permissions in (
        (home, 0o755),
        (history.parent, 0o700),
        (history, 0o750),
        (history / "runs.db", 0o644),
    ):
        path.chmod(permissions)
    (home / "store").chmod(0o700)
    before = mode(target)
    modes = {exposure.path: exposure.mode for exposure in close_home(home)}
    assert modes == {home: 0o755, history: 0o750, history / "runs.db": 0o644}
    assert [mode(path) for path in modes] == [0o700, 0o700, 0o600]
    assert mode(target) == before  # a link leads out of the home
    assert exposures(home) == [] == close_home(home)
    assert exposures(tmp_path / "absent") == []
