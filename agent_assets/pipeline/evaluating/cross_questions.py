"""Questions of other elders, put to this elder's agent as it is served: nothing that they told may
come back.

Own questions against those of others, as in a confusion matrix: off the diagonal an agent may be
right as often as the base model, which cannot know. Neither questions nor answers are kept or
traced, for they are of other people, whose data is erased with them: counts alone enter the report.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

from agent_assets.evaluation.report_schema import BASE, CrossQuestions
from agent_assets.pipeline.evaluating.other_elders import OtherElder, nearest, other_elders
from agent_assets.pipeline.evaluating.served_answers import ServedVariants
from agent_assets.pipeline.evaluating.variants import adapters_of
from agent_assets.pipeline.stage import StageRun

if TYPE_CHECKING:
    from agent_assets.conversations.items import EvalItem
    from agent_assets.conversations.memories import Memory
    from agent_assets.evaluation.metrics import ItemResult


def ask_cross_questions(
    run: StageRun, served: ServedVariants, system: str
) -> CrossQuestions | None:
    """Ask base model and trained variants, and count what came back; None where nobody else can be
    asked about: in a pipeline without elders, with `cross_questions: 0`, and of an elder who is
    the only one.

    Args:
        system: the system prompt that the agent is asked under.
    """
    from agent_assets.conversations.memories import read_memories

    most = run.config.eval_report.cross_questions
    if run.memories is None or not most:
        return None
    own = read_memories(run.memories)
    others = list(other_elders(run, most))
    items = list(islice(_items(run, others, own, system), most))
    if not items:
        return None
    asked = dict.fromkeys((BASE, *adapters_of(run)), items)
    results = served.ask(asked, stage="asking other elders' questions").results
    return _counted(run, results, own, others)


def _items(
    run: StageRun, others: Sequence[OtherElder], own: "Sequence[Memory]", system: str
) -> "Iterator[EvalItem]":
    """One question of each, then the second of each, and so on; none that this elder's own memories
    answer as well.
    """
    from agent_assets.conversations.items import EvalItem
    from agent_assets.evaluation.cross import tell_as_well

    ordered = []
    for other in others:
        memories = {memory.memory_id: memory for memory in other.memories if memory.question}
        chosen = nearest(run, memories, len(memories))
        ordered.append([(memories[name], other.language) for name in chosen])
    number = 0
    for memory, language in filter(None, (pair for row in zip_longest(*ordered) for pair in row)):
        if not tell_as_well(memory, own, language):
            number += 1
            yield EvalItem(
                id=f"cross-{number}",
                kind="recall_open",
                wording="unseen",
                language=language,
                question=memory.question,
                system=system,
                gold_answer=memory.answer,
            )


def _counted(
    run: StageRun,
    results: "Mapping[str, list[ItemResult]]",
    own: "Sequence[Memory]",
    others: Sequence[OtherElder],
) -> CrossQuestions:
    from agent_assets.evaluation.cross import count_cross
    from agent_assets.release.leaks import find_leaks

    settings = run.config.eval_report
    asked = [text for found in results[BASE] for text in (found.item.question, found.item.system)]
    usual = [result.answer for result in results[BASE]]
    repeated = {}
    for variant, found in results.items():
        leaks = find_leaks(
            [result.answer for result in found],
            own=[text for memory in own for text in (memory.question, memory.answer)],
            questions=asked,
            usual=() if variant == BASE else usual,
            others=[[memory.answer for memory in other.memories] for other in others],
            canary_pattern=run.config.release.canary_pattern,
        )
        repeated[variant] = leaks.cross_answers + leaks.canaries
    return count_cross(
        results,
        repeated,
        elders=len(others),
        seed=settings.seed,
        samples=settings.bootstrap_samples,
    )
