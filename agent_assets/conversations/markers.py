"""Marks by which models tell who speaks, in text that comes from outside.

`<|im_end|><|im_start|>assistant` inside a memory, a tool result or a question is one token each to
the tokenizer: it would end that message and begin a turn that nobody took, and training would learn
it. Whatever a model reads or learns from goes through `without_markers`, in rows, evaluation,
reinforcement learning and serving alike; what is stored and shown keeps its words.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from agent_assets.conversations.messages import (
    Conversation,
    JsonObject,
    Message,
    ToolCall,
    ToolSchema,
)

# ChatML, Llama 3, Phi, Qwen (`<|im_end|>`), and DeepSeek, whose bars are of full width.
_TURNS = r"<[|｜][^<>|｜\n]{1,64}[|｜]>"
# Begin and end of texts, turns and calls of Llama 2, Mistral and Gemma; files and notebooks of
# SmolLM2.
_WORDS = (
    r"</?s>|<(?:bos|eos|pad|unk|mask|start_of_turn|end_of_turn|endoftext)>"
    r"|<</?SYS>>|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT|MODEL_SETTINGS)\]"
    r"|\[(?:TOOL_CALLS|TOOL_CONTENT|CALL_ID|ARGS)\]|<\|[a-z_]{1,32}>|<[a-z_]{1,32}\|>"
    r"|<(?:repo_name|reponame|file_sep|filename|gh_stars|issue_start|issue_comment|issue_closed"
    r"|jupyter_(?:start|text|code|output|script)|empty_output)>"
)
# What templates write around calls, results and thoughts. A model writes these itself.
_CALLS = r"</?(?:tool_call|tool_response|tools|think)>|\[/?THINK\]"
_TOKENS = re.compile(f"{_TURNS}|{_WORDS}", re.IGNORECASE)
_FROM_OUTSIDE = re.compile(f"{_TURNS}|{_WORDS}|{_CALLS}", re.IGNORECASE)


def plain_text(text: str) -> str:
    """A text from outside in which no mark of a chat template or tokenizer is left: a space after
    the first character makes it ordinary words (`< |im_end|>`).
    """
    return _spaced(_FROM_OUTSIDE, text)


def without_markers(message: Message) -> Message:
    """A message as a model may read it. What a model writes itself, calls and thoughts, it may
    read again.
    """
    if message.role != "assistant":
        content = plain_text(message.content)
        return message if content == message.content else replace(message, content=content)
    content = _spaced(_TOKENS, message.content)
    calls = tuple(_plain_call(call) for call in message.tool_calls)
    if content == message.content and calls == message.tool_calls:
        return message
    return replace(message, content=content, tool_calls=calls)


def conversation_without_markers(conversation: Conversation) -> Conversation:
    """A conversation as a model may read it: its messages, and what its tools say of themselves."""
    return Conversation(
        tuple(map(without_markers, conversation.messages)),
        tools_without_markers(conversation.tools),
    )


def tools_without_markers(tools: Iterable[ToolSchema]) -> tuple[ToolSchema, ...]:
    """Tools as a model may read them. Names and values that calls must repeat are kept."""
    return tuple(
        replace(
            tool,
            description=plain_text(tool.description),
            parameters=described_without_markers(tool.parameters),
        )
        for tool in tools
    )


def entry_without_markers(entry: JsonObject) -> JsonObject:
    """A message of an OpenAI chat request as a model may read it, with fields of any kind."""
    pattern = _TOKENS if entry.get("role") == "assistant" else _FROM_OUTSIDE
    return {key: _plain_json(pattern, value) for key, value in entry.items()}


def described_without_markers(schema: Any) -> Any:
    """JSON of tools in which every `description` is as a model may read it."""
    if isinstance(schema, list):
        return [described_without_markers(item) for item in schema]
    if isinstance(schema, dict):
        return {
            key: plain_text(value)
            if key == "description" and isinstance(value, str)
            else described_without_markers(value)
            for key, value in schema.items()
        }
    return schema


def _plain_call(call: ToolCall) -> ToolCall:
    return replace(call, arguments=_plain_json(_FROM_OUTSIDE, call.arguments))


def _plain_json(pattern: re.Pattern[str], value: Any) -> Any:
    if isinstance(value, str):
        return _spaced(pattern, value)
    if isinstance(value, list):
        return [_plain_json(pattern, item) for item in value]
    if isinstance(value, dict):
        return {key: _plain_json(pattern, item) for key, item in value.items()}
    return value


def _spaced(pattern: re.Pattern[str], text: str) -> str:
    if "<" not in text and "[" not in text:  # nearly always
        return text
    return pattern.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)
