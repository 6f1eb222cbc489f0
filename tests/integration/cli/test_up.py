"""`agent-assets up` as an operator meets it: one at a time, and gone as a whole when a part of it
is gone.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from agent_assets.free_ports import free_port
from agent_assets.mongo.embedded.mongod import find_mongod
from support.command_line import OURS, ROOT
from support.waiting import wait_for

READY = "Ctrl-C stops everything"


def test_of_two_at_once_one_wins_and_the_death_of_mongodb_ends_all(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    quiet = tmp_path / "automation.yaml"
    quiet.write_text("{nightly: {enabled: false}, watch: {enabled: false}}", encoding="utf-8")
    environment |= {
        "AGENT_ASSETS_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "AGENT_ASSETS_AUTOMATION": str(quiet),
    }
    other_name = tmp_path / "database-server"
    shutil.copyfile(find_mongod(), other_name)
    other_name.chmod(0o755)
    environment |= {"MONGOD_BIN": str(other_name)}
    chosen = ["--port", str(free_port()), "--api-port", str(free_port())]
    command = [
        sys.executable,
        "-c",
        "from agent_assets.cli.main import main; main()",
        "up",
        *chosen,
    ]
    outputs = {}
    for name in ("one", "other"):
        with (tmp_path / name).open("wb") as log:
            started = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        outputs[started] = tmp_path / name
    try:
        (loser,) = wait_for(lambda: [up for up in outputs if up.poll() is not None], 60)
        (up,) = outputs.keys() - {loser}
        refusal, output = outputs[loser].read_text(encoding="utf-8"), outputs[up]
        assert loser.returncode == 1
        assert f"This installation is up already (process {up.pid})." in refusal
        assert "starting" not in refusal
        wait_for(lambda: READY in output.read_text(encoding="utf-8"), 120)
        assert up.poll() is None and (home / "workspace.yaml").exists()
        mongod = json.loads((home / "mongodb" / "mongod.json").read_text(encoding="utf-8"))["pid"]
        os.kill(mongod, signal.SIGKILL)
        assert up.wait(60) == 1
        assert "MongoDB ended on its own; stopping the rest. Its log:" in output.read_text(
            encoding="utf-8"
        )
    finally:
        for up in outputs:
            up.kill()
            up.wait()
