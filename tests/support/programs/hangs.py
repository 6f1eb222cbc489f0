"""Starts a child in a session of its own, writes both process ids, and stays; uses memory if asked
to.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from dagster_pipes import open_dagster_pipes

with open_dagster_pipes() as pipes:
    params = pipes.get_extra("params")
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    ballast = bytearray(os.urandom(1)) * params.get("bytes", 0)
    pids = Path(params["pid_file"])
    pids.with_suffix(".tmp").write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
    pids.with_suffix(".tmp").rename(pids)
    time.sleep(600)
