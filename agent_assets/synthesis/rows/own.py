"""Rows of one's own as examples: held to what made rows are held to, and executed on the servers
where their tools only read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from agent_assets.agent.loop import in_order
from agent_assets.conversations.messages import Conversation, JsonObject, ToolSchema
from agent_assets.conversations.validation import Rejection, RejectReason, validate_conversation
from agent_assets.synthesis.config import RowsConfig
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.rows.checks import Rules, failing_results, size_and_bans
from agent_assets.synthesis.rows.example import Example, in_tool_order, replayed
from agent_assets.synthesis.rows.heldout import calls_key
from agent_assets.synthesis.rows.own_files import OwnRow
from agent_assets.synthesis.rows.packing import packed_row
from agent_assets.synthesis.tasks.script import Script, fixed_answer
from agent_assets.synthesis.tasks.task import OWN, Task, Tools
from agent_assets.text.identify import identify_language
from agent_assets.text.seeds import in_share, short_hash


async def own_examples(
    rows: Iterable[OwnRow],
    made: Sequence[Example],
    *,
    tools: Sequence[ToolSchema],
    toolbox: Tools,
    config: RowsConfig,
    rules: Rules,
    system: str,
) -> list[Example]:
    """The rows as examples, in their order; those that cannot be trained on with the reasons.

    A row with calls, or with tools, is trained on with the tools of the servers, in their words;
    one without stands as it is.

    Args:
        made: examples that are trained on and held out already.
        system: prompt of rows that have none.

    Raises:
        ToolServerError: a server failed.
    """
    read = list(rows)
    examples = _distinct([_example(row, tools, config, rules, system) for row in read], made)
    again = [partial(replayed, example, toolbox, rules=rules) for example in examples]
    executed = await in_order(again, concurrency=config.concurrency)
    return [_placed(example, row.place) for example, row in zip(executed, read, strict=True)]


def own_rows(examples: Iterable[Example]) -> list[JsonObject]:
    """Rows of train.jsonl, one for each example: no two need to have one system prompt."""
    return [packed_row(example.task.question.id, OWN, [example]) for example in examples]


def _placed(example: Example, place: str) -> Example:
    """The example with the place of its row in every reason."""
    return replace(
        example,
        rejections=tuple(
            Rejection(reason.reason, f"{place}: {reason.detail}") for reason in example.rejections
        ),
    )


def _example(
    row: OwnRow, tools: Sequence[ToolSchema], config: RowsConfig, rules: Rules, system: str
) -> Example:
    conversation = row.conversation
    if conversation is None:
        problem = Rejection(RejectReason.NOT_A_ROW, row.problem)
        return Example(_task(row.place, Conversation(()), "", ()), (), (problem,))
    messages = conversation.messages
    if messages and messages[0].role == "system":
        system, messages = messages[0].content, messages[1:]
    calls = [call for message in messages for call in message.tool_calls]
    offered = tuple(tools) if calls or conversation.tools else ()
    example = Example(
        _task(row.place, replace(conversation, messages=messages), system, offered),
        in_tool_order(messages, tools),
        (),
    )
    reasons = _reasons(example, conversation.tools, rules)
    return _on_its_side(replace(example, rejections=tuple(dict.fromkeys(reasons))), config)


def _task(
    place: str, conversation: Conversation, system: str, tools: tuple[ToolSchema, ...]
) -> Task:
    asked = [message.content for message in conversation.messages if message.role == "user"]
    answers = [message.content for message in conversation.messages if message.role == "assistant"]
    called = [call.name for message in conversation.messages for call in message.tool_calls]
    question = Question(
        id=f"{OWN}-{short_hash(system, *map(repr, conversation.messages) or place)}",
        text=asked[0] if asked else place,
        language=identify_language(answers, asked),
        tools=tuple(dict.fromkeys(called)),
        split="train",
        wording=OWN,
        wording_seen=False,
    )
    return Task(question, OWN, system, tools, Script((), fixed_answer("")))


def _reasons(example: Example, named: Sequence[ToolSchema], rules: Rules) -> list[Rejection]:
    """Why a row cannot be trained on, as far as the row itself tells."""
    tools = example.task.tools
    known = {tool.name for tool in tools}
    reasons = [
        Rejection(
            RejectReason.UNKNOWN_TOOL, f"{tool.name[:64]!r} is not among the {len(known)} tools"
        )
        for tool in named
        if tool.name not in known
    ]
    conversation = Conversation(example.messages, tools)
    reasons += validate_conversation(conversation, max_chars=8 * rules.max_tokens)
    if errors := failing_results(example.calls, example.messages):
        reasons.append(
            Rejection(
                RejectReason.OBSERVATION_IS_ERROR, f"{errors} of {len(example.results)} results"
            )
        )
    return reasons + size_and_bans(example.messages, rules)


def _on_its_side(example: Example, config: RowsConfig) -> Example:
    """The example in training or held out. Equal calls are on one side; what has no calls, or more
    than one question, cannot be judged and is trained on.
    """
    questions = sum(message.role == "user" for message in example.messages)
    if not example.calls or questions != 1 or example.rejections:
        return example
    if not in_share(config.sources_heldout_share, "own", config.seed, calls_key(example)):
        return example
    question = replace(example.task.question, split="heldout")
    return replace(example, task=replace(example.task, question=question, kind="tool"))


def _distinct(examples: Sequence[Example], made: Sequence[Example]) -> list[Example]:
    """The examples, rejected where another one is the same."""
    accepted = [example for example in made if not example.rejections]
    asked = {_asked(example) for example in accepted}
    calls: dict[str, set[str]] = {"train": set(), "heldout": set()}
    for example in accepted:
        calls[example.task.question.split].add(calls_key(example))
    distinct = []
    for example in examples:
        if not example.rejections:
            detail = _repeats(example, asked, calls)
            asked.add(_asked(example))
            if detail is not None:
                why = (Rejection(RejectReason.DUPLICATE, detail),)
                distinct.append(replace(example, rejections=why))
                continue
        distinct.append(example)
    return distinct


def _repeats(example: Example, asked: set[str], calls: dict[str, set[str]]) -> str | None:
    if _asked(example) in asked:
        return "this question is asked before"
    if not example.calls:
        return None
    other = "heldout" if example.task.question.split == "train" else "train"
    if calls_key(example) in calls[other]:
        return (
            "a held-out item makes the same calls"
            if other == "heldout"
            else ("training makes the same calls")
        )
    return None


def _asked(example: Example) -> str:
    """What people say in an example, and whether it has tools."""
    said = [message.content for message in example.messages if message.role == "user"]
    return repr((said, bool(example.task.tools)))
