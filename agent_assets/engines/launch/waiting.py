"""Waiting for the end of a child process without polling."""

import os
import select
import subprocess


def ended_within(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait until a child ends, at most `seconds`; whether it has.

    `Popen.wait(timeout=...)` looks twenty times a second; here the kernel wakes this process.
    """
    if process.poll() is not None:
        return True
    try:
        ended = os.pidfd_open(
            process.pid
        )  # the id cannot belong to anyone else before `poll` has collected it
    except ProcessLookupError:  # another thread of this process did, a moment ago
        return True
    try:
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.poll(1000 * seconds)
    finally:
        os.close(ended)
    return process.poll() is not None
