"""The cores of a training on a CPU: all of them, and one fewer while somebody is answered. Needs
torch.
"""

import os
from pathlib import Path

import torch

from agent_assets.engines.devices.answering import VARIABLE, is_answering


class SharedCores:
    """Sets the threads of this process. Without a lease of the CPU it changes nothing."""

    def __init__(self) -> None:
        file = os.environ.get(VARIABLE)
        self._file = None if file is None else Path(file)
        self._all = torch.get_num_threads()

    def share(self) -> None:
        """Before a forward pass: it and its backward pass run on the cores that are ours now."""
        if self._file is None or self._all < 2:
            return
        threads = self._all - 1 if is_answering(self._file) else self._all
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
