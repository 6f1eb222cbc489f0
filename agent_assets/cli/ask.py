"""`agent-assets ask`: one question, put to an agent by hand, every step printed as it happens.

The agent is the one that `/chat` serves: same loop, system prompt and limits, base model and
adapter, the pipeline's own tool servers. What is printed holds memory text: it goes to the terminal
of whoever asks, and nowhere else.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent_assets.automation.pipelines import load_graphs
from agent_assets.cli.agent_server import (
    base_of,
    latest_artifact,
    served_adapter,
    trained_adapter,
)
from agent_assets.conversations.messages import Message, ToolCall, ToolResult, ToolSchema
from agent_assets.errors import ConfigError, LlmRefused, LlmUnavailable, StoreError
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.runs.instance import prepare_dagster_home
from agent_assets.settings import Settings, teacher_environment
from agent_assets.store.erasable_data import agent_logs
from agent_assets.store.partition_keys import as_partition_key

if TYPE_CHECKING:
    from agent_assets.agent.loop import ChatModel, Rollout
    from agent_assets.agent.mcp.toolbox import Toolbox


@dataclass(frozen=True)
class AskOptions:
    """Where the question goes: an OpenAI-compatible endpoint, or, without one, the agent's own
    trained model.
    """

    base_url: str | None = None
    model: str | None = None
    max_tokens: int = 512


def ask_agent(settings: Settings, agent: str, question: str, options: AskOptions) -> None:
    """Run the agent (`pipeline` or `pipeline/elder`) once and print every step.

    Raises:
        ConfigError: there is no such pipeline, it needs an elder, or nothing was asked.
        StoreError: the agent was not trained, or the elder's memories were not read.
        ToolServerError: a tool server failed.
        LlmUnavailable, LlmRefused: the model does not answer, or not this.
    """
    pipeline, elder = find_pipeline(agent)
    if not question.strip():
        raise ConfigError("The question is empty.", next_step="write one, in quotes.")
    prepare_dagster_home(settings)
    memories = told_memories(settings, pipeline, elder)
    logs = agent_logs(settings.home / "logs", pipeline.config.name, elder)
    with endpoint(settings, pipeline, elder, options, logs) as (base_url, model, key):
        asyncio.run(
            _ask(pipeline, memories, question, base_url, model, key, options.max_tokens, logs)
        )


def find_pipeline(agent: str) -> tuple[PipelineSpec, str | None]:
    """The pipeline and the elder that `pipeline` or `pipeline/elder` names.

    Raises:
        ConfigError: there is no such pipeline, or it needs an elder.
    """
    name, _, elder = agent.partition("/")
    pipelines = {graph.name: graph.spec for graph in load_graphs()}
    if name not in pipelines:
        raise ConfigError(
            f"There is no pipeline {name!r}.", next_step=f"name one of {', '.join(pipelines)}."
        )
    if pipelines[name].partitioned is not bool(elder):
        usage = f"{name}/ELDER" if pipelines[name].partitioned else name
        raise ConfigError(f"There is no agent {agent!r}.", next_step=f"write {usage}.")
    return pipelines[name], as_partition_key(elder) or None


def told_memories(settings: Settings, pipeline: PipelineSpec, elder: str | None) -> Path | None:
    """Folder of what the elder told, as it was read last; None without an elder.

    Raises:
        StoreError: it was never read.
    """
    if elder is None:
        return None
    memories = latest_artifact(settings, pipeline, "elder_memories", elder)
    if memories is None:
        raise StoreError(
            f"The memories of {elder} were not read.",
            next_step=f"materialize {pipeline.config.name}/elder_memories for {elder} first.",
        )
    return memories.path


@contextmanager
def endpoint(
    settings: Settings,
    pipeline: PipelineSpec,
    elder: str | None,
    options: AskOptions,
    failed_logs: Path,
) -> Iterator[tuple[str, str, str]]:
    """Base URL, model and key: of the endpoint that was named, or of a server that answers as the
    API would, with the base model and the trained adapter.
    """
    environment = teacher_environment()
    if options.model is not None:
        yield options.base_url or environment.base_url, options.model, environment.api_key or "none"
        return
    if options.base_url is not None:
        raise ConfigError("An endpoint is given without a model.", next_step="add --model.")
    adapter = trained_adapter(settings, pipeline, elder)
    if adapter is None:
        raise StoreError(
            f"{'/'.join(filter(None, (pipeline.config.name, elder)))} was not trained.",
            next_step="materialize its sft_adapter, or name a model with --model (and --base-url).",
        )
    base = base_of(settings, pipeline, adapter)
    with served_adapter(settings, pipeline, base, adapter, failed_logs) as base_url:
        yield base_url, adapter.manifest.data_version, "local"


async def _ask(
    pipeline: PipelineSpec,
    memories: Path | None,
    question: str,
    base_url: str,
    model: str,
    key: str,
    max_tokens: int,
    logs: Path,
) -> None:
    from agent_assets.agent.answer_turn import answer_turn, answering_model, conversation
    from agent_assets.serving_settings import load_serving

    answers = load_serving().answers
    system = system_prompt_of(pipeline, memories)
    async with (
        pipeline.tool_servers.open(memories=memories, log_dir=logs) as toolbox,
        answering_model(
            base_url, model, api_key=key, max_tokens=max_tokens, timeout_s=answers.seconds
        ) as chat,
    ):
        tools = sorted(toolbox.tools, key=lambda tool: tool.name)
        click.echo(f"system    {system or '(none)'}")
        click.echo(f"tools     {', '.join(tool.name for tool in tools)}")
        click.echo(f"question  {question}")
        with model_errors(base_url, model):
            rollout = await answer_turn(
                _Shown(chat),
                _ShownTools(toolbox),
                conversation(system, (), question),
                tools,
                answers.limits,
            )
    click.echo(_ending(rollout))


@contextmanager
def model_errors(base_url: str, model: str) -> Iterator[None]:
    """Errors of an OpenAI-compatible server as ours.

    Raises:
        LlmUnavailable, LlmRefused: the model does not answer, or not this.
    """
    from openai import APIConnectionError, APIStatusError

    try:
        yield
    except APIConnectionError as error:
        raise LlmUnavailable(
            f"{model} does not answer at {base_url} ({type(error).__name__}).",
            next_step="check --base-url.",
        ) from None
    except APIStatusError as error:
        raise LlmRefused(
            f"The server of {model} refuses the request: HTTP {error.status_code}.",
            next_step="check --model, --base-url and OPENAI_API_KEY.",
            status=error.status_code,
        ) from None


def system_prompt_of(pipeline: PipelineSpec, memories: Path | None) -> str:
    """What the agent is told before anybody speaks to it."""
    from agent_assets.agent.system_prompt import elder_prompt
    from agent_assets.conversations.memories import read_profile

    template = pipeline.config.system_prompt
    return (template or "") if memories is None else elder_prompt(read_profile(memories), template)


def _ending(rollout: "Rollout") -> str:
    turns = sum(message.role == "assistant" for message in rollout.messages)
    calls = sum(len(message.tool_calls) for message in rollout.messages)
    used = rollout.usage
    counted = (
        "tokens not counted"
        if used is None
        else (f"{used.prompt_tokens} tokens read, {used.completion_tokens} written")
    )
    return (
        f"stopped   {rollout.stop_reason}: {turns} turns, {calls} "
        "calls, "
        f"{rollout.seconds:.1f} s, {counted}"
    )


class _Shown:
    """A model whose messages are printed."""

    def __init__(self, model: "ChatModel") -> None:
        self._model = model

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        reply = await self._model.complete(messages, tools)
        if reply.content or not reply.tool_calls:
            click.echo(
                f"{'text' if reply.tool_calls else 'answer':<9} {reply.content or '(nothing)'}"
            )
        return reply


class _ShownTools:
    """Tools whose calls and results are printed."""

    def __init__(self, toolbox: "Toolbox") -> None:
        self._toolbox = toolbox

    async def call(self, call: ToolCall) -> ToolResult:
        click.echo(f"call      {call.name} {json.dumps(call.arguments, ensure_ascii=False)}")
        result = await self._toolbox.call(call)
        click.echo(f"{'error' if result.is_error else 'result':<9} {result.text}")
        return result
