"""What a model thinks before it speaks, told apart from what it says.

Models that think put it between tags in their text; `split_reasoning` is the one function that
takes it out. Servers that take it out themselves put it into a field or a part of its own, which
`agent/reply_forms.py` reads. Where it is kept, it stands between tags again.
"""

import re
from dataclasses import replace

from agent_assets.conversations.messages import Message

_NAMES = "think|thinking|thought|reasoning|reflection|seed:think"
_OPENING = rf"<(?:{_NAMES})>|\[think\]"
_CLOSING = rf"</(?:{_NAMES})>|\[/think\]"
_TAGS = re.compile(f"(?P<opening>{_OPENING})|{_CLOSING}", re.IGNORECASE)
_MAYBE_A_TAG = re.compile(r"(?:<[a-z/:]{0,12}|\[[a-z/]{0,6})$|\s+$", re.IGNORECASE)


def split_reasoning(text: str) -> tuple[str, str]:
    """What a model thought and what it says, both "" where there is none.

    A tag that was never opened closes everything before it: many chat templates write the opening
    tag into the prompt. One that was never closed opens everything after it: the answer was cut.
    """
    thought, answer = _parts(text)
    return thought.strip(), answer.strip()


def without_reasoning(text: str) -> str:
    """What a model says."""
    return split_reasoning(text)[1]


def with_reasoning(thought: str, answer: str) -> str:
    """A text with what was thought before it, in the one form in which we keep it."""
    return (
        f"<think>\n{thought.strip()}\n</think>\n\n{answer.strip()}" if thought.strip() else answer
    )


def spoken(message: Message) -> Message:
    """A message without what an assistant thought."""
    if message.role != "assistant" or _TAGS.search(message.content) is None:
        return message
    return replace(message, content=without_reasoning(message.content))


def _parts(text: str) -> tuple[str, str]:
    thought: list[str] = []
    answer: list[str] = []
    depth = place = 0
    for tag in _TAGS.finditer(text):
        (thought if depth else answer).append(text[place : tag.start()])
        place = tag.end()
        if tag["opening"]:
            depth += 1
        elif depth:
            depth -= 1
        else:
            thought, answer = [*thought, *answer], []
    (thought if depth else answer).append(text[place:])
    return "".join(thought), "".join(answer)


class SpokenText:
    """What is said of a text that comes piece by piece."""

    def __init__(self) -> None:
        self._text = self._told = ""

    def add(self, piece: str) -> str:
        """What can be told now: no reasoning, and nothing that may still become a tag."""
        self._text += piece
        return self._tell(_MAYBE_A_TAG.sub("", self._text))

    def end(self) -> str:
        """The rest."""
        return self._tell(self._text)

    def _tell(self, text: str) -> str:
        answer = _parts(text)[1].lstrip()
        # A closing tag without an opening one takes back what was told.
        new = answer[len(self._told) :] if answer.startswith(self._told) else ""
        self._told += new
        return new
