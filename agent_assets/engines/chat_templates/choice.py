"""The chat templates that training and serving share, by name: ours, and the one that a base model
came with (`native.py`).

Another one of ours also needs: its name in `pipeline/config.py`, how ms-swift trains it in
`engines/programs/swift_template.py`, and the parser of its tool calls in `engines/servers/vllm.py`
and `agent/tool_call_parser.py`.
"""

from pathlib import Path

from agent_assets.errors import ConfigError

# ChatML, Hermes tool calls (vLLM: `--tool-call-parser hermes`), tools as signatures.
HERMES = "hermes"

# The one that the model came with.
NATIVE = "native"

TEMPLATE_FILE = "chat_template.jinja"
# Beside one of ours: what the model came with, where agents can speak by that, too. The untrained
# model is judged by it.
OWN_TEMPLATE_FILE = "own_chat_template.txt"


def chat_template(name: str = HERMES) -> str:
    """Jinja source of a chat template of ours, as `chat_template.jinja` of a model folder holds it.

    Raises:
        ConfigError: there is no template of that name.
    """
    if name != HERMES:
        raise ConfigError(f"Unknown chat template {name!r}.", next_step=f"Use {HERMES!r}.")
    return (Path(__file__).parent / f"{name}.jinja").read_text(encoding="utf-8")
