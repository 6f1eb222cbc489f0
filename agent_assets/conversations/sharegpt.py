"""Turns of ShareGPT rows.

LLaMA-Factory wants people (`human`, `observation`) and assistants (`gpt`, `function_call`) to take
turns, and leaves out a row in which they do not. So what belongs to one turn is one entry:

- several calls are a JSON list of calls;
- text before calls stands in the entry of the calls, which then stand between `<tool_call>` tags;
- several results are joined as LLaMA-Factory joins those of OpenAI rows.

A text that holds these marks itself keeps an entry of its own. Rows in which each call and each
result has an entry of its own are read as well.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from agent_assets.conversations.row_parts import Kind, read_calls

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_BETWEEN_RESULTS = "\n</tool_response>\n<tool_response>\n"
_Turn = tuple[Kind, str]


def sharegpt_turns(pairs: Iterable[_Turn]) -> list[_Turn]:
    """The entries of a flat row, one to a turn."""
    turns: list[_Turn] = []
    for kind, texts in _runs(pairs):
        if kind == "call":
            calls = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
            if turns and turns[-1][0] == "assistant" and _OPEN not in turns[-1][1]:
                text = turns.pop()[1]
                # The same JSON, in which no tag can be found.
                calls = calls.replace("<", "\\u003c")
                calls = f"{text}\n{_OPEN}\n{calls}\n{_CLOSE}"
            turns.append((kind, calls))
        elif kind == "result" and not any(_BETWEEN_RESULTS in text for text in texts):
            turns.append((kind, _BETWEEN_RESULTS.join(texts)))
        else:
            turns += [(kind, text) for text in texts]
    return turns


def from_sharegpt_turns(turns: Iterable[_Turn]) -> list[_Turn]:
    """Entries of a flat row, in which text, calls and each result stand alone."""
    pairs: list[_Turn] = []
    number = calls = 0
    for kind, texts in _runs(turns):
        number += len(texts)
        if kind == "call":
            entries = [pair for text in texts for pair in _said_and_called(text)]
            called = [text for entry, text in entries if entry == "call"]
            calls = sum(len(read_calls(text, number, first_id=1)) for text in called)
            pairs += entries
        elif kind == "result" and len(texts) == 1:
            results = texts[0].split(_BETWEEN_RESULTS)
            pairs += [(kind, text) for text in (results if len(results) == calls else texts)]
        else:
            pairs += [(kind, text) for text in texts]
    return pairs


def _said_and_called(text: str) -> list[_Turn]:
    if not text.endswith(_CLOSE):
        return [("call", text)]
    before, _, calls = text.removesuffix(_CLOSE).rpartition(_OPEN)
    return [("assistant", before.removesuffix("\n")), ("call", calls)]


def _runs(pairs: Iterable[_Turn]) -> Iterator[tuple[Kind, list[str]]]:
    for kind, run in groupby(pairs, key=lambda pair: pair[0]):
        yield kind, [text for _, text in run]
