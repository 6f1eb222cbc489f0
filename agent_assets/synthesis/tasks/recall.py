"""Tasks that ask an elder for memories, with tools and without, and for what was never told."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from agent_assets.conversations.items import ItemKind
from agent_assets.conversations.memories import Memory
from agent_assets.errors import ConfigError
from agent_assets.synthesis.questions.question import Question, Split
from agent_assets.synthesis.tasks.elder import Elder
from agent_assets.synthesis.tasks.script import Script, fixed_answer, memory_answer
from agent_assets.synthesis.tasks.task import Task
from agent_assets.synthesis.wordings import LanguageTemplates
from agent_assets.text.own_words import own_words, told_by
from agent_assets.text.seeds import in_share, stable_hash

HELDOUT_TEMPLATES_OF_NEVER_TOLD = 3


def _templates(questions: Sequence[Question], split: Split) -> list[Question]:
    """Recall templates of one split; the barest first."""
    matching = [
        question for question in questions if question.kind == "recall" and question.split == split
    ]
    return sorted(matching, key=lambda question: (len(question.text), question.id))


def _pick(templates: Sequence[Question], key: str, number: int) -> Question:
    """The first wording, then the others in an order of the key's own."""
    if number == 0:
        return templates[0]
    others = templates[1:] or templates
    return others[(stable_hash("wording", key) + number) % len(others)]


def _asked(template: Question, query: str, elder: Elder, use: str, key: str) -> Question:
    """A recall template with its query."""
    parameter = elder.recall.parameter
    call = {"name": elder.recall.tool, "arguments": {parameter: query}}
    return replace(
        template,
        id=f"{use}-{key}-{template.wording.rsplit('.', 1)[-1]}",
        text=template.text.format_map({parameter: query}),
        gold_calls=(call,),
        kind="tool",
    )


def _query(memory: Memory) -> str:
    """What is searched for: the memory's own question, which a small model can copy from what it
    was asked.
    """
    return " ".join(memory.question.split())


def _recall_task(elder: Elder, memory: Memory, template: Question, kind: ItemKind) -> Task:
    before, most = told_by(memory, elder.language), elder.config.max_answer_words
    use = kind.removeprefix("recall_")
    if kind == "recall_open":
        question = _asked(template, _query(memory), elder, use, memory.memory_id)
        script = Script(
            question.gold_calls,
            memory_answer(memory.memory_id, before, language=elder.language, max_words=most),
        )
        return Task(question, kind, elder.system, elder.tools, script, (memory.memory_id,))
    question = replace(
        _asked(template, _query(memory), elder, use, memory.memory_id), tools=(), gold_calls=()
    )
    script = Script(
        (), fixed_answer(before + own_words(memory.answer, language=elder.language, max_words=most))
    )
    return Task(
        question, kind, elder.system, (), script, (memory.memory_id,), source_text=memory.answer
    )


def open_tasks(elder: Elder, questions: Sequence[Question]) -> Iterator[Task]:
    """Recall with tools: training looks up most memories, held-out items the others."""
    train, unseen = _templates(questions, "train"), _templates(questions, "heldout")
    share = elder.config.open_heldout_share
    heldout_memories = [
        memory for memory in elder.memories if in_share(share, "open", memory.memory_id)
    ]
    if len(heldout_memories) == len(elder.memories):
        heldout_memories = []
    held_ids = {memory.memory_id for memory in heldout_memories}
    for memory in elder.memories:
        if memory.memory_id not in held_ids:
            for number in range(elder.config.open_per_memory):
                yield _recall_task(
                    elder, memory, _pick(train, memory.memory_id, number), "recall_open"
                )
    yield from _heldout_recall(elder, heldout_memories or elder.memories, unseen, "recall_open")


def closed_tasks(elder: Elder, questions: Sequence[Question]) -> Iterator[Task]:
    """Recall without tools: training tells every memory, held-out items ask for them in unseen
    wordings.
    """
    train, unseen = _templates(questions, "train"), _templates(questions, "heldout")
    for memory in elder.memories:
        for number in range(elder.config.closed_per_memory):
            yield _recall_task(
                elder, memory, _pick(train, "closed" + memory.memory_id, number), "recall_closed"
            )
    yield from _heldout_recall(elder, elder.memories, unseen, "recall_closed")


def _heldout_recall(
    elder: Elder, memories: Sequence[Memory], templates: Sequence[Question], kind: ItemKind
) -> Iterator[Task]:
    """Memories in hash order, each in one unseen wording, and again in another until there are
    enough.
    """
    in_order = sorted(memories, key=lambda memory: stable_hash(kind, memory.memory_id))
    most = min(elder.config.heldout_recall, len(memories) * len(templates))
    for number in range(most):
        memory = in_order[number % len(in_order)]
        start = stable_hash("heldout", memory.memory_id)
        yield _recall_task(
            elder, memory, templates[(start + number // len(in_order)) % len(templates)], kind
        )


def never_told_tasks(elder: Elder, questions: Sequence[Question]) -> Iterator[Task]:
    """What nobody told, bare and in the wordings that memories are asked in: the wording must not
    give it away.
    """
    templates = {split: _templates(questions, split) for split in ("train", "heldout")}
    # A question that is held out may be bare: the question itself was never seen.
    templates["heldout"] = [templates["train"][0], *templates["heldout"]]
    answers = elder.recall.never_told.get(elder.asked_in, LanguageTemplates()).answers
    abstentions = [question for question in questions if question.kind == "abstention"]
    if abstentions and not answers:
        raise ConfigError(
            f"The wordings file has {elder.asked_in} questions that were never told, and no "
            "answers that say so.",
            next_step=f"add recall.never_told.{elder.asked_in}.answers to it.",
        )
    repeats: Mapping[str, int] = {
        "train": elder.config.never_told_repeats,
        "heldout": HELDOUT_TEMPLATES_OF_NEVER_TOLD,
    }
    heldout_count = 0
    for number in range(max(repeats.values())):
        for question in abstentions:
            split = question.split
            if number >= repeats[split] or (
                split == "heldout" and heldout_count >= elder.config.heldout_recall
            ):
                continue
            heldout_count += split == "heldout"
            template = _pick(templates[split], question.id, number)
            task = _asked(template, question.text, elder, "never", question.id.rsplit(".", 1)[-1])
            # The wording counts as the elder's language; the fixed reply is in that of the
            # question.
            task = replace(task, split=split, language=question.language)
            answer = answers[stable_hash("never", question.id, number) % len(answers)]
            yield Task(
                task,
                "abstention",
                elder.system,
                elder.tools,
                Script(task.gold_calls, fixed_answer(answer)),
            )
