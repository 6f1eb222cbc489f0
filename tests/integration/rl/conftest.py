"""Test helpers beside the tests, those of synthesis, and the tiny model of the whole suite are importable by name."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent.parent, HERE.parent / "synthesis"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
