"""A teacher without a language model: it makes the calls that are known to be right, and words what
they returned.
"""

from collections.abc import Mapping, Sequence

from agent_assets.conversations.messages import Message, ToolCall, ToolSchema
from agent_assets.errors import TrainingDataError
from agent_assets.synthesis.tasks.script import Script


class ScriptedTeacher:
    """A `ChatModel` that knows the scripts of all questions by their text and by whether tools are
    offered.
    """

    def __init__(self, scripts: Mapping[tuple[str, bool], Script]) -> None:
        self._scripts = scripts

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        """The calls of the script after a question, its answer after their results.

        Raises:
            TrainingDataError: there is no script for the question.
        """
        last_user = max(number for number, message in enumerate(messages) if message.role == "user")
        script = self._scripts.get((messages[last_user].content, bool(tools)))
        if script is None:
            raise TrainingDataError(
                "The scripted teacher was asked a question it has no script for.",
                next_step="make questions and rows from the same wordings file.",
            )
        results = [
            message.content for message in messages[last_user + 1 :] if message.role == "tool"
        ]
        if script.calls and not results:
            calls = (
                ToolCall(call["name"], call["arguments"], f"call_{number}")
                for number, call in enumerate(script.calls, start=1)
            )
            return Message("assistant", "", tuple(calls))
        return Message("assistant", script.answer(results))
