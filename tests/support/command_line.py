"""`agent-assets` commands in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = (
    "MONGODB_URI",
    "MONGODB_DATABASE",
    "DAGSTER_HOME",
    "AGENT_ASSETS_STORE",
    "AGENT_ASSETS_DEVICE",
)


def agent_assets(
    home: Path, *arguments: str, root: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command on a home of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment |= {"AGENT_ASSETS_HOME": str(home), "PYTHONPATH": str(root), **variables}
    command = [sys.executable, "-c", "from agent_assets.cli.main import main; main()", *arguments]
    return subprocess.run(
        command,
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """What an expected error says: what happened, then what to do; never a traceback, never a
    secret.
    """
    assert done.returncode == 1, done.stdout + done.stderr
    first, second = done.stderr.splitlines()[-2:]
    assert first.startswith("error: ") and second.startswith("next:  ")
    assert "Traceback" not in done.stderr and "secret" not in done.stderr
    return f"{first} {second}"
