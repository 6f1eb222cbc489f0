"""What a worker of ms-swift's rollout server does first, in a process of its own: prints whether it
knows our template.

ms-swift (pipelines/infer/rollout.py) starts its workers by spawn, and they import the external
plugins alone.
"""

import multiprocessing
import sys
from pathlib import Path

from agent_assets.engines import programs
from agent_assets.engines.programs.swift_template import AGENT_TEMPLATE


def work(connection: "multiprocessing.connection.Connection") -> None:
    """Import the plugin by its path; look for the template."""
    sys.modules["vllm"] = None  # type: ignore[assignment]  # importing it takes longer than the whole test
    from swift.agent_template import agent_template_map
    from swift.utils import import_external_file

    import_external_file(str(Path(programs.__file__).parent / "grpo_plugin.py"))
    connection.send(AGENT_TEMPLATE in agent_template_map)


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=work, args=(there,))
    worker.start()
    print("knows it" if here.recv() else "does not know it")
    worker.join()
