"""Makes ms-swift render training rows as serving will: the text of `chat_template.jinja`, token for
token.
"""

import json
from pathlib import Path

from agent_assets.conversations.messages import JsonObject
from agent_assets.conversations.rendering.template_environment import is_native
from agent_assets.engines.chat_templates.choice import HERMES, TEMPLATE_FILE, chat_template
from agent_assets.errors import BaseModelError

AGENT_TEMPLATE = "agent_assets"

_SYSTEM_START, _SYSTEM_END = "<|im_start|>system\n", "<|im_end|>\n"


def check_template(model_dir: Path) -> str:
    """The base model's chat template, ours or its own; any other is refused.

    Raises:
        BaseModelError: the template is missing or another.
    """
    path = model_dir / TEMPLATE_FILE
    template = path.read_text(encoding="utf-8") if path.is_file() else ""
    if template != chat_template(HERMES) and not is_native(template):
        raise BaseModelError(
            f"The base model has no {TEMPLATE_FILE}, or one that this version does not train for.",
            next_step="Materialize base_model again.",
        )
    return template


def register_agent_template() -> str:
    """Tell ms-swift our agent template; returns its name for the argument `agent_template`."""
    from swift.agent_template import agent_template_map
    from swift.agent_template.hermes import HermesAgentTemplate
    from transformers.utils.chat_template_utils import render_jinja_template

    class AgentAssetsTemplate(HermesAgentTemplate):  # type: ignore[misc]
        """Hermes tool calls and results, with the tool block of our chat template."""

        def _format_tools(
            self, tools: list[JsonObject], system: str | None = None, user_message: object = None
        ) -> str:
            # The chat template itself renders the block: what it says is defined in one place.
            messages = [{"role": "system", "content": system or ""}]
            texts, _ = render_jinja_template(
                [messages], tools=tools, chat_template=chat_template(HERMES)
            )
            return str(texts[0]).removeprefix(_SYSTEM_START).removesuffix(_SYSTEM_END)

        def _format_tool_calls(self, tool_call_messages: list[JsonObject]) -> str:
            calls = []
            for message in tool_call_messages:
                call = self._parse_tool_call(message["content"])
                name = json.dumps(call["name"], ensure_ascii=False)
                arguments = json.dumps(call["arguments"], ensure_ascii=False)
                calls.append(
                    f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>'
                )
            return "\n".join(calls)

        def _add_tool_call_prefix(
            self, tool_content: str, pre_message: JsonObject | None = None
        ) -> str:
            """Text and the call after it stand on lines of their own."""
            spoken = (
                pre_message["content"]
                if pre_message is not None and pre_message["role"] == "assistant"
                else ""
            )
            return "\n" + tool_content if spoken and not spoken.endswith("\n") else tool_content

    agent_template_map[AGENT_TEMPLATE] = AgentAssetsTemplate
    return AGENT_TEMPLATE
