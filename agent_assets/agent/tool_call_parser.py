"""Reads what a model wrote as an assistant message, with the calls that vLLM's Hermes parser would
find in it.

An engine that samples without vLLM's server hands over plain text; rollouts have to mean the same
in both.
"""

import json
import re

from agent_assets.agent.loop import UNPARSED
from agent_assets.conversations.messages import Message, ToolCall
from agent_assets.conversations.reasoning import without_reasoning

_START = "<tool_call>"
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>|<tool_call>(.*)", re.DOTALL)


def read_text(text: str, *, turn: int) -> Message:
    """The assistant message of a text. When one call cannot be read, the whole text is an answer.

    Args:
        turn: number of the model turn; makes the ids of the calls differ between turns.
    """
    calls = []
    for number, (closed, left_open) in enumerate(_CALL.findall(text), start=1):
        try:
            value = json.loads(closed or left_open)
            name, arguments = value["name"], value["arguments"]
        except (json.JSONDecodeError, RecursionError, KeyError, TypeError):
            return Message("assistant", without_reasoning(text))
        if not isinstance(name, str):
            return Message("assistant", without_reasoning(text))
        read = (
            arguments
            if isinstance(arguments, dict)
            else {UNPARSED: json.dumps(arguments, ensure_ascii=False)}
        )
        calls.append(ToolCall(name, read, f"call_{turn}_{number}"))
    return Message("assistant", without_reasoning(text.partition(_START)[0]), tuple(calls))
