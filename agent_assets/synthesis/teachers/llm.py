"""A language model as a teacher: what it is told besides the row's own system prompt, and its
answers as messages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from agent_assets.agent.chat_model import read_reply, request_body
from agent_assets.agent.loop import StopReason, StopRollout
from agent_assets.conversations.messages import JsonObject, Message, ToolSchema
from agent_assets.conversations.reasoning import spoken
from agent_assets.llm.client import LlmClient
from agent_assets.text.languages.rules import LanguageCode, rules_for


class LlmTeacher:
    """A `ChatModel` that asks a language model.

    Args:
        languages: the language of each question, by its text; others are answered in `usual`.
        persona: whether it speaks as an elder.
        keep_reasoning: its messages hold what it thought. It is not shown that again.
    """

    def __init__(
        self,
        client: LlmClient,
        languages: Mapping[str, LanguageCode],
        *,
        persona: bool,
        keep_reasoning: bool = False,
    ) -> None:
        self._client, self._languages, self._persona = client, languages, persona
        self._keep_reasoning = keep_reasoning

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        """The next assistant message.

        Raises:
            StopRollout: it refused, or its answer was cut.
            LlmError: as `LlmClient.ask`.
        """
        answer = await self._client.ask(self._prompt(messages, tools))
        choice = answer.choice
        if choice.message.refusal or choice.finish_reason == "content_filter":
            raise StopRollout(StopReason.REFUSED)
        if choice.finish_reason == "length":
            raise StopRollout(StopReason.TRUNCATED)
        reply = read_reply(choice, keep_reasoning=self._keep_reasoning)
        numbers = count(1 + sum(len(message.tool_calls) for message in messages))
        # Ids of servers may repeat, or change from one asking to the next.
        calls = tuple(replace(call, id=f"call_{next(numbers)}") for call in reply.tool_calls)
        return replace(reply, tool_calls=calls, usage=answer.usage)

    def _prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> JsonObject:
        question = next(message.content for message in messages if message.role == "user")
        language = self._languages[question]
        rules = rules_for(language)
        instructions = rules.phrases.teacher.format(language=rules.name) + (
            rules.phrases.persona if self._persona else ""
        )
        first = [message.content for message in messages if message.role == "system"]
        rest = [spoken(message) for message in messages if message.role != "system"]
        return request_body([Message("system", "\n\n".join([*first, instructions])), *rest], tools)
