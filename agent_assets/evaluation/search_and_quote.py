"""A peer without any model: it searches for what was said, and quotes the best sentence.

Whoever trains an agent has to do better than this. It goes through the same loop, tools and judges
as the agents it is compared with; it never talks, and knows nothing of what was said before.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from agent_assets.conversations.messages import JsonObject, Message, ToolCall, ToolSchema
from agent_assets.text.languages.rules import LanguageCode, rules_for

SEARCH_TOOL, ARGUMENT = "search_memories", "query"
MAX_WORDS = 40.0  # a memory that is not longer is quoted whole, as agents learn to tell it


@dataclass(frozen=True)
class SearchAndQuote:
    """A chat model (`agent.loop.ChatModel`) that answers from the first thing a search finds.

    Args:
        language: of the elder.
    """

    language: LanguageCode

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        """The search, then the quotation; that it cannot look this up where nothing is found."""
        last = messages[-1]
        if last.role == "user" and can_search(tools):
            call = ToolCall(SEARCH_TOOL, {ARGUMENT: last.content}, "search")
            return Message("assistant", "", (call,))
        entries = _entries(last.content) if last.role == "tool" else []
        if not entries:
            return Message("assistant", rules_for(self.language).phrases.cannot)
        question = next(message.content for message in reversed(messages) if message.role == "user")
        text = self._quotation(str(entries[0]["text"]), question)
        return Message("assistant", f"{text} [{entries[0]['id']}]")

    def _quotation(self, text: str, question: str) -> str:
        rules = rules_for(self.language)
        if rules.length(text) <= MAX_WORDS:
            return text
        asked = rules.content(question)
        sentences = rules.sentences(text) or [text]
        return max(sentences, key=lambda sentence: len(asked & rules.content(sentence)))


def can_search(tools: Sequence[ToolSchema]) -> bool:
    """Whether there is a tool that this peer can use."""
    return any(
        tool.name == SEARCH_TOOL and ARGUMENT in tool.parameters.get("properties", {})
        for tool in tools
    )


def _entries(result: str) -> list[JsonObject]:
    """The memories in a result; none where a tool answered with an error or in another form."""
    try:
        found = json.loads(result)
    except ValueError:
        return []
    if not isinstance(found, list):
        return []
    return [entry for entry in found if isinstance(entry, dict) and {"id", "text"} <= entry.keys()]
