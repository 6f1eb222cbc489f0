"""Program `check_base`: makes a base model into a folder that is thrown away, to say what is wrong
with it before anything rests on it. `python -m ... ANSWER` reads its parameters from the file
ANSWER and writes what it found there.
"""

import json
import sys
from pathlib import Path

from agent_assets.engines.codec import decode_text, encode
from agent_assets.engines.contracts import BaseModelParams, ReportedError
from agent_assets.engines.programs.base_model import prepare
from agent_assets.engines.programs.runtime import prepare_environment
from agent_assets.errors import AgentAssetsError


def check(file: Path) -> None:
    """Make the base model; an error that a user can act on is an answer, too."""
    params = decode_text(BaseModelParams, file.read_text(encoding="utf-8"), program="check_base")
    try:
        answer = encode(prepare(params, lambda _: None))
    except AgentAssetsError as error:
        answer = encode(ReportedError(type(error).__name__, error.message, error.next_step))
    file.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    prepare_environment()
    check(Path(sys.argv[1]))
