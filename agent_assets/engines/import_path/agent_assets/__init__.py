"""`agent_assets` as an engine environment imports it: this package, and nothing that was installed
beside it.

The folder above this file is on the path of engine programs. Where agent-assets is installed, the
folder of its package holds the libraries of Dagster's environment, too, and those would shadow the
engine's own.
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[3])]
