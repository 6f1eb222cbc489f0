"""Items and rollouts of the evaluation tests are importable by name."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "evaluation"
if str(FOLDER) not in sys.path:
    sys.path.insert(0, str(FOLDER))
