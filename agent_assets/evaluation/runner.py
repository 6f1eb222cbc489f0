"""Put every held-out item to one variant, as `/chat` asks an agent, a few at a time.

An item whose model or tool server failed is reported by name and not scored. So is one that ran out
of time: turns and tokens are limited, so it is the machine that was slow or stuck. When more than a
tenth of the items failed, the numbers would say more about the machine than about the model, and
the evaluation stops with an error.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from openai import OpenAIError

from agent_assets.agent.answer_turn import answer_turn, conversation, recent_messages
from agent_assets.agent.loop import ChatModel, StopReason, ToolCaller
from agent_assets.agent.tracing import span
from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import ToolSchema
from agent_assets.errors import AgentAssetsError, EngineFailed, TrainingDataError
from agent_assets.evaluation.metrics import ItemResult
from agent_assets.serving_settings import AnswerConfig

MAX_FAILED_SHARE = 0.1

Progress = Callable[[int, int], None]  # items done, items in all


async def run_items(
    model: ChatModel,
    toolbox: ToolCaller,
    tools: Sequence[ToolSchema],
    items: Sequence[EvalItem],
    answers: AnswerConfig,
    *,
    concurrency: int = 8,
    on_progress: Progress | None = None,
) -> list[ItemResult]:
    """Results in the order of the items, whatever the order in which they finish.

    Items of kind `recall_closed` are asked without tools.

    Args:
        answers: limits of one answer.

    Raises:
        EngineFailed: the model or a tool server failed, or time ran out, on more than a tenth of
            the items. It is raised as soon as that is certain, without waiting for the rest.
        TrainingDataError: there are no items.
    """
    if not items:
        raise TrainingDataError(
            "There are no held-out items to evaluate on.",
            next_step="raise the held-out share of the questions.",
        )
    results: dict[int, ItemResult] = {}
    waiting = iter(enumerate(items))

    async def work(waiting: Iterator[tuple[int, EvalItem]]) -> None:
        for position, item in waiting:
            results[position] = await _run_item(model, toolbox, tools, item, answers)
            _check_failures(list(results.values()), len(items))
            if on_progress is not None:
                on_progress(len(results), len(items))

    with span("evaluation", lambda: {"items": [item.id for item in items]}) as traced:
        workers = [asyncio.create_task(work(waiting)) for _ in range(min(concurrency, len(items)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        traced.finish({"failed": [result.item.id for result in results.values() if result.error]})
    return [results[position] for position in range(len(items))]


async def _run_item(
    model: ChatModel,
    toolbox: ToolCaller,
    tools: Sequence[ToolSchema],
    item: EvalItem,
    answers: AnswerConfig,
) -> ItemResult:
    recent = recent_messages(item.history, answers.max_history)
    messages = conversation(item.system, recent, item.question)
    offered = () if item.kind == "recall_closed" else tools
    started = time.monotonic()
    try:
        rollout = await answer_turn(model, toolbox, messages, offered, answers.limits)
    except (
        AgentAssetsError,
        OpenAIError,
        OSError,
    ) as error:
        # Recorded by name, counted, shown in the report
        return ItemResult(item, (), "", time.monotonic() - started, error=type(error).__name__)
    failure = "ItemTimeout" if rollout.stop_reason is StopReason.TIMEOUT else None
    return ItemResult(
        item,
        rollout.messages,
        str(rollout.stop_reason),
        rollout.seconds,
        usage=rollout.usage,
        error=failure,
    )


def _check_failures(results: Sequence[ItemResult], total: int) -> None:
    failed = [result for result in results if result.error is not None]
    if len(failed) <= MAX_FAILED_SHARE * total:
        return
    kinds = ", ".join(
        f"{name} {count}"
        for name, count in Counter(result.error for result in failed).most_common()
    )
    first = ", ".join(result.item.id for result in failed[:5])
    raise EngineFailed(
        f"{len(failed)} of {total} held-out items failed for other reasons than the model's answer "
        f"({kinds}); "
        f"first items: {first}.",
        next_step="read the logs of the inference server and of the tool servers beside the "
        "artifact, raise "
        "`item_seconds` if items timed out, and run again.",
    )
