"""Tasks for the memory tools other than search, with arguments that the elder's memories can
answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from agent_assets.conversations.messages import ToolSchema
from agent_assets.synthesis.arguments.from_memories import MemoryArguments
from agent_assets.synthesis.questions.question import Question, Split
from agent_assets.synthesis.questions.scripted import is_heldout
from agent_assets.synthesis.tasks.elder import Elder
from agent_assets.synthesis.tasks.script import Script, memories_answer
from agent_assets.synthesis.tasks.task import Task
from agent_assets.synthesis.templates.render import fill, memory_sources
from agent_assets.text.seeds import seeded

ATTEMPTS = 50


def memory_tool_tasks(
    elder: Elder, questions: Sequence[Question], tool: ToolSchema, arguments: MemoryArguments
) -> Iterator[Task]:
    """Questions for one memory tool, arguments taken from the memories; held-out arguments never
    meet training's.
    """
    templates = [
        question
        for question in questions
        if question.kind == "template" and tool.name in question.tools
    ]
    seen, unseen = ([t for t in templates if t.wording_seen is kind] for kind in (True, False))
    most = elder.config.heldout_memory_tool_questions
    used: set[str] = set()
    for use, split, split_templates, count in (
        ("t", "train", seen, elder.config.memory_tool_questions),
        ("s", "heldout", seen, most),
        ("u", "heldout", unseen, most),
    ):
        for number in range(count if split_templates else 0):
            template = split_templates[number % len(split_templates)]
            rng = seeded(elder.config.seed, elder.profile.elder_id, tool.name, use, number)
            for _ in range(ATTEMPTS):
                chosen = arguments.sample(memory_sources(elder.templates, tool.name), rng)
                text = fill(template.text, chosen, elder.templates, tool, elder.asked_in)
                # Training may ask for the same thing in two wordings; a held-out item asks for
                # something new.
                fresh = text not in used and (split == "train" or str(chosen) not in used)
                if fresh and is_heldout(tool.name, chosen) is (split == "heldout"):
                    used |= {text, str(chosen)}
                    question = replace(
                        template,
                        id=f"{tool.name}-{use}{number:03d}",
                        text=text,
                        split=cast(Split, split),
                        gold_calls=({"name": tool.name, "arguments": chosen},),
                        kind="tool",
                    )
                    answer = memories_answer(
                        language=elder.language, max_words=elder.config.max_answer_words
                    )
                    script = Script(question.gold_calls, answer)
                    yield Task(
                        question, "tool", elder.system, elder.tools, script, needs_result=True
                    )
                    break
