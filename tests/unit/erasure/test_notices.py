"""An erasure waits for every process that answers, and for none that is gone."""

import threading
import time
from pathlib import Path

import pytest

from agent_assets.erasure.notices import announced, ask_processes
from agent_assets.errors import ErasureError


def answering(home: Path, ready: threading.Event, ended: threading.Event, held: int) -> None:
    with announced(home) as here:
        ready.set()
        while not ended.is_set():
            for notice in here.open_notices():
                here.answer(notice, held if notice.elder == "eleanor" else 0)
            time.sleep(0.01)


def test_all_that_answer_are_asked_and_say_what_they_held(tmp_path: Path) -> None:
    ended = threading.Event()
    threads = []
    for held in (2, 1):
        ready = threading.Event()
        thread = threading.Thread(target=answering, args=(tmp_path, ready, ended, held))
        thread.start()
        threads.append(thread)
        assert ready.wait(10)
    try:
        assert ask_processes(tmp_path, "eleanor", let_go=True, wait_s=10) == 3
        assert ask_processes(tmp_path, "ben", let_go=False, wait_s=10) == 0
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert list((tmp_path / "run" / "answering").iterdir()) == []
    assert ask_processes(tmp_path, "eleanor", let_go=True, wait_s=0) == 0  # nobody is there


def test_one_that_lives_and_does_not_answer_stops_it(tmp_path: Path) -> None:
    with announced(tmp_path), pytest.raises(ErasureError, match="does not let go"):
        ask_processes(tmp_path, "eleanor", let_go=True, wait_s=0.2)


def test_one_that_was_killed_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "answering"
    folder.mkdir(parents=True)
    (folder / "1-aaaaaaaa.here").touch()  # no process holds its lock any more
    assert ask_processes(tmp_path, "eleanor", let_go=True, wait_s=0) == 0
