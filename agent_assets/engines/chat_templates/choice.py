"""The chat templates that training and serving share, by name.

Another one also needs: its name in `pipeline/config.py`, how ms-swift trains it in
`engines/programs/swift_template.py`, and the parser of its tool calls in `engines/servers/vllm.py`
and `agent/tool_call_parser.py`.
"""

from pathlib import Path

from agent_assets.errors import ConfigError

# ChatML, Hermes tool calls (vLLM: `--tool-call-parser hermes`), tools as signatures.
HERMES = "hermes"

TEMPLATE_FILE = "chat_template.jinja"


def chat_template(name: str = HERMES) -> str:
    """Jinja source of a chat template, as `chat_template.jinja` of a model folder holds it.

    Raises:
        ConfigError: there is no template of that name.
    """
    if name != HERMES:
        raise ConfigError(f"Unknown chat template {name!r}.", next_step=f"Use {HERMES!r}.")
    return (Path(__file__).parent / f"{name}.jinja").read_text(encoding="utf-8")
