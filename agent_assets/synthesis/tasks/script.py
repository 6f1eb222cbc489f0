"""What the scripted teacher does for one question: the calls to make, and how it words their
results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent_assets.conversations.messages import JsonObject
from agent_assets.text.languages.rules import LanguageCode, rules_for
from agent_assets.text.own_words import cite, memories_in, own_words, state_result

Answer = Callable[[Sequence[str]], str]  # results in the order of the calls -> final answer


@dataclass(frozen=True)
class Script:
    """What the teacher does for one question: the calls, all at once, and how it words their
    results.
    """

    calls: tuple[JsonObject, ...]
    answer: Answer


def fixed_answer(text: str) -> Answer:
    """Always the same words."""
    return lambda results: text


def result_answer(
    template: str | None, phrases_by_name: Mapping[str, str], language: LanguageCode
) -> Answer:
    """The values of the results in a template with slots for arguments and `{result}`; None is a
    plain one.
    """

    def answer(results: Sequence[str]) -> str:
        stated = "; ".join(filter(None, map(state_result, results)))
        phrases = rules_for(language).phrases
        if not stated:
            return phrases.no_result
        text = (template or phrases.result).format_map({**phrases_by_name, "result": stated})
        return text.replace("…。", "…").replace("….", "…").replace("..", ".")

    return answer


def memory_answer(memory_id: str, before: str, *, language: LanguageCode, max_words: int) -> Answer:
    """One memory as told, cited. "" when the results do not hold it: such a row is rejected."""

    def answer(results: Sequence[str]) -> str:
        entries = [
            entry for result in results for entry in memories_in(result) if entry["id"] == memory_id
        ]
        if not entries:
            return ""
        words = own_words(entries[0]["text"], language=language, max_words=max_words)
        return cite(before + words, [memory_id])

    return answer


def memories_answer(*, language: LanguageCode, max_words: int) -> Answer:
    """The first memory of the results as told, all of them cited. "" when there is none."""

    def answer(results: Sequence[str]) -> str:
        entries = [entry for result in results for entry in memories_in(result)]
        if not entries:
            return ""
        words = own_words(entries[0]["text"], language=language, max_words=max_words)
        return cite(words, [entry["id"] for entry in entries])

    return answer
