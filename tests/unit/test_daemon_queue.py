"""The queue of an `up` that was killed: its files are left, and nobody takes runs."""

import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._daemon.types import DaemonHeartbeat

from agent_assets.automation.daemon_queue import QueuedRuns, open_queue
from agent_assets.automation.execute import Order
from agent_assets.runs.code_server import code_server_socket
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import Settings, load_settings


@pytest.fixture
def killed(tmp_path: Path) -> Settings:
    """A home whose `up` was killed a moment ago."""
    settings = load_settings({"AGENT_ASSETS_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    prepare_dagster_home(settings)
    path = code_server_socket(settings)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))  # the file of a socket outlives its process
    server = {"socket": str(path), "location_name": "agent_assets"}
    settings.workspace.write_text(
        yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8"
    )
    with open_instance(settings) as instance:
        beat = DaemonHeartbeat(time.time() + 3000, "QUEUED_RUN_COORDINATOR", "daemon", [])
        instance.add_daemon_heartbeat(beat)  # its clock was ahead
    return settings


def test_there_is_no_queue_where_up_was_killed_and_nothing_is_printed_about_it(
    killed: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    _no_queue_at_once(killed)
    assert capfd.readouterr() == ("", "")


def test_there_is_none_either_where_the_code_server_ends_while_it_is_asked(
    killed: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    path = code_server_socket(killed)
    path.unlink()
    with _hanging_up(path):
        _no_queue_at_once(killed)
    assert capfd.readouterr() == ("", "")


def test_a_run_that_was_killed_says_so_to_who_follows_it(killed: Settings) -> None:
    with open_instance(killed) as instance:
        run = instance.create_run_for_job(_nothing, status=dg.DagsterRunStatus.STARTED)
        since = datetime.now(UTC) - timedelta(seconds=10)
        instance.report_run_failed(run, "The process of this run is gone: it was killed.")
        order = Order("p", "ada", (), {})
        (outcome,) = QueuedRuns(instance, killed, {run.run_id: order}, since).follow()
    assert outcome.failed == "The process of this run is gone: it was killed."


@dg.job
def _nothing() -> None:
    pass


def _no_queue_at_once(settings: Settings) -> None:
    started = time.monotonic()
    with warnings.catch_warnings(), open_instance(settings) as instance:
        warnings.simplefilter("always")  # as on a terminal
        with open_queue(instance, settings) as queue:
            assert queue is None
    assert time.monotonic() - started < 10


@contextmanager
def _hanging_up(path: Path) -> Iterator[None]:
    """Takes connections at this socket, and ends each."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_hang_up, args=(listener,))
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _hang_up(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # it was shut down
        connection.close()
