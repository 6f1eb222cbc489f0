"""deploy/compose.yaml against the schema of the Compose Specification, which dclint carries."""

import subprocess
from pathlib import Path

from support.command_line import ROOT

DCLINT = ROOT / ".venvs" / "test-compose" / "node_modules" / ".bin" / "dclint"


def problems(file: Path) -> str:
    done = subprocess.run(
        [DCLINT, "--quiet", file], capture_output=True, text=True, check=False, cwd=file.parent
    )
    assert (done.returncode == 0) == (not done.stdout.strip()), done.stdout + done.stderr
    return done.stdout.strip()


def test_the_compose_file_fits_the_schema(tmp_path: Path) -> None:
    file = ROOT / "deploy" / "compose.yaml"
    assert problems(file) == ""
    misspelt = tmp_path / "compose.yaml"
    text = file.read_text(encoding="utf-8").replace("stop_grace_period:", "stop_grace:")
    misspelt.write_text(text, encoding="utf-8")
    assert "invalid-schema" in problems(misspelt)
