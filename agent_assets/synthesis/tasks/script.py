"""What the scripted teacher does for one question: the calls to make, and how it words their results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent_assets.conversations.messages import JsonObject
from agent_assets.text.language import Language
from agent_assets.text.own_words import cite, memories_in, own_words, state_result

Answer = Callable[[Sequence[str]], str]  # results in the order of the calls -> final answer

_RESULT: dict[Language, tuple[str, str]] = {
    "en": ("The result is: {result}.", "The tool returned nothing."),
    "zh": ("结果是：{result}。", "工具没有返回内容。"),
}


@dataclass(frozen=True)
class Script:
    """What the teacher does for one question: the calls, all at once, and how it words their results."""

    calls: tuple[JsonObject, ...]
    answer: Answer


def fixed_answer(text: str) -> Answer:
    """Always the same words."""
    return lambda results: text


def result_answer(template: str | None, said: Mapping[str, str], language: Language) -> Answer:
    """The values of the results in a template with slots for arguments and `{result}`; None is a plain one."""

    def answer(results: Sequence[str]) -> str:
        stated = "; ".join(filter(None, map(state_result, results)))
        usual, nothing = _RESULT[language]
        if not stated:
            return nothing
        text = (template or usual).format_map({**said, "result": stated})
        return text.replace("…。", "…").replace("….", "…").replace("..", ".")

    return answer


def memory_answer(memory_id: str, before: str, *, max_words: int) -> Answer:
    """One memory as told, cited. "" when the results do not hold it: such a row is rejected."""

    def answer(results: Sequence[str]) -> str:
        found = [entry for result in results for entry in memories_in(result) if entry["id"] == memory_id]
        return cite(before + own_words(found[0]["text"], max_words=max_words), [memory_id]) if found else ""

    return answer


def memories_answer(*, max_words: int) -> Answer:
    """The first memory of the results as told, all of them cited. "" when there is none."""

    def answer(results: Sequence[str]) -> str:
        found = [entry for result in results for entry in memories_in(result)]
        return cite(own_words(found[0]["text"], max_words=max_words), [entry["id"] for entry in found]) if found else ""

    return answer
