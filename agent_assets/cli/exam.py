"""`agent-assets exam`: the turns of a file, put to an agent as a family talks to it, and judged.

They go through the API where it answers for this installation (`/chat`), and otherwise through a
model server of this command, with the loop, the limits and the tools of `/chat`. What is printed
holds memory text: it goes to the terminal of whoever asks.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from agent_assets.cli.ask import (
    AskOptions,
    endpoint,
    find_pipeline,
    system_prompt_of,
    told_memories,
)
from agent_assets.cli.exam_paths import (
    API,
    Ask,
    is_served,
    released_memories,
    through_api,
    through_model,
)
from agent_assets.conversations.exam import ExamTurn, Half, read_exam
from agent_assets.conversations.memories import read_memories, read_profile
from agent_assets.errors import ExamError
from agent_assets.evaluation.exam_judge import Person, judge_turn
from agent_assets.evaluation.exam_result import (
    Answered,
    expected_words,
    miss_lines,
    shares,
    table_lines,
)
from agent_assets.mongo.exam_evidence import evidence_ids
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.runs.instance import prepare_dagster_home
from agent_assets.settings import Settings
from agent_assets.store.erasable_data import agent_logs

_AT_ONCE = 4  # turns that are asked side by side
_EVERY = 10  # turns between two lines of progress

Opened = Callable[[], AbstractAsyncContextManager[Ask]]


@dataclass(frozen=True)
class ExamOptions:
    """How the agent is reached, and what is asked.

    Args:
        half: only turns of this half; None asks all.
        api: address of the API; None looks at the usual one.
        token: bearer token for it.
        asked: another model than the agent's own, where it names one.
    """

    half: Half | None = None
    as_json: bool = False
    api: str | None = None
    token: str | None = None
    model_options: AskOptions = field(default_factory=AskOptions)


def run_exam(settings: Settings, agent: str, file: Path, options: ExamOptions) -> None:
    """Put the turns of a file to an agent and print shares, misses and seconds.

    Raises:
        ExamError: the file is wrong, or names memories that this elder has not.
        ConfigError, StoreError, ToolServerError, LlmError, ServingError: the agent cannot be asked.
    """
    turns = [turn for turn in read_exam(file) if options.half in (None, turn.half)]
    if not turns:
        raise ExamError(
            f"{file} has no turn of the half {options.half}.",
            next_step='write "half": "develop" or "report" into its lines, or leave out --half.',
        )
    pipeline, elder = find_pipeline(agent)
    prepare_dagster_home(settings)
    name = elder or pipeline.config.name
    api = _api(settings, pipeline, name, options)
    folder = (
        told_memories(settings, pipeline, elder)
        if api is None
        else released_memories(settings, name)
    )
    person = person_of(pipeline, folder)
    evidence = evidence_ids(turns, elder or "", person.memories.values())
    started = time.monotonic()
    with _opened(settings, pipeline, elder, folder, api, options) as (path, opened):
        click.echo(f"{agent}: {len(turns)} turns of {file.name}, through {path}")
        answers = asyncio.run(_ask_all(turns, opened, evidence, person))
    _show(answers, time.monotonic() - started)
    if options.as_json:
        summary = {
            "agent": agent,
            "file": file.name,
            "half": options.half,
            "through": path,
            "kinds": shares(answers),
            "misses": [answered.turn.id for answered in answers if answered.verdict.right is False],
            "seconds": round(time.monotonic() - started, 1),
            "turn_seconds_median": round(
                statistics.median(answered.seconds for answered in answers), 2
            ),
        }
        click.echo(json.dumps(summary, ensure_ascii=False))


def person_of(pipeline: PipelineSpec, memories: Path | None) -> Person:
    """Whom the exam is about; an agent without an elder was told nothing."""
    system = system_prompt_of(pipeline, memories)
    if memories is None:
        return Person("en", {}, system)
    memories_by_id = {memory.memory_id: memory for memory in read_memories(memories)}
    return Person(read_profile(memories).language, memories_by_id, system)


def _api(settings: Settings, pipeline: PipelineSpec, name: str, options: ExamOptions) -> str | None:
    """The API to ask: the one that was named, or that of this installation if it runs."""
    if options.api is not None or options.model_options.model or options.model_options.base_url:
        return options.api
    return API if is_served(settings, pipeline.config.name, name) else None


@contextmanager
def _opened(
    settings: Settings,
    pipeline: PipelineSpec,
    elder: str | None,
    memories: Path | None,
    api: str | None,
    options: ExamOptions,
) -> Iterator[tuple[str, Opened]]:
    """Through what the agent is asked, in words, and what opens it."""
    if api is not None:
        name = elder or pipeline.config.name
        yield f"{api}/chat", lambda: through_api(api, name, options.token)
        return
    logs = agent_logs(settings.home / "logs", pipeline.config.name, elder)
    with endpoint(settings, pipeline, elder, options.model_options, logs) as (base_url, model, key):
        yield (
            f"{model} at {base_url}",
            lambda: through_model(
                pipeline, memories, base_url=base_url, model=model, key=key, logs=logs
            ),
        )


async def _ask_all(
    turns: Sequence[ExamTurn],
    opened: Opened,
    evidence: Mapping[str, Sequence[str]],
    person: Person,
) -> list[Answered]:
    """Answers in the order of the turns, a few asked at once. The first failure ends them all."""
    room, answered = asyncio.Semaphore(_AT_ONCE), 0
    async with opened() as ask:

        async def one(turn: ExamTurn) -> Answered:
            nonlocal answered
            async with room:
                started = time.monotonic()
                answer = await ask(turn)
                seconds = time.monotonic() - started
            answered += 1
            if answered % _EVERY == 0:
                click.echo(f"  {answered} of {len(turns)}", err=True)
            ids = evidence[turn.id]
            verdict = judge_turn(turn, answer, ids, person)
            return Answered(turn, answer, verdict, expected_words(turn, ids), seconds)

        tasks = [asyncio.create_task(one(turn)) for turn in turns]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _show(answers: Sequence[Answered], seconds: float) -> None:
    for line in miss_lines(answers):
        click.echo(line)
    click.echo("kind            right   share, 95% interval")
    for line in table_lines(answers):
        click.echo(line)
    slowest = max(answered.seconds for answered in answers)
    click.echo(f"{seconds:.0f} s in all, {slowest:.1f} s the slowest turn")
