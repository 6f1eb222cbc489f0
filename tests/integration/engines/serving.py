"""A stand-in for a run worker that serves a model until it is killed: `python serving.py MODEL_DIR
LOG_DIR`.
"""

import sys
import time
from pathlib import Path

from agent_assets.engines.environment import find_engine_env
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.servers.choice import SERVER
from agent_assets.engines.servers.serve import serve_model

with serve_model(
    SERVER,
    env=find_engine_env("cpu"),
    model_dir=Path(sys.argv[1]),
    log_dir=Path(sys.argv[2]),
    max_model_len=512,
    limits=EngineLimits(seconds=300, memory_bytes=8 * 2**30),
):
    time.sleep(300)
