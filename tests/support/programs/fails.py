"""Fails in the way the parameters ask for."""

import os
import signal
import sys
from pathlib import Path

from dagster_pipes import open_dagster_pipes

with open_dagster_pipes() as pipes:
    how = pipes.get_extra("params")["how"]
    if how == "quoting":
        raise ValueError("cannot use the row: my grandmother sold the red bicycle")
    if how == "reported":
        pipes.report_custom_message(
            {
                "kind": "error",
                "type": "BaseModelError",
                "message": "the weights changed",
                "next_step": "get them again",
            }
        )
        sys.exit(3)
    if how == "full disk":
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            full.write("x" * 100_000)
    if how == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    # "silent": no result
