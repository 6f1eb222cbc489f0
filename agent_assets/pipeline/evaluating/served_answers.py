"""What is judged is what answers: base model and adapters by name on a server of the kind that the
HTTP API starts, asked as `/chat` asks, with its limits and the agent's own tools.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.base_models.config import BaseModelSettings
from agent_assets.conversations.messages import JsonObject
from agent_assets.engines.chat_templates.choice import OWN_TEMPLATE_FILE
from agent_assets.engines.contracts import ADAPTER_CONFIG
from agent_assets.errors import ConfigError
from agent_assets.evaluation.report_schema import BASE, QUOTE
from agent_assets.pipeline.artifact_tools import read_artifact_tools
from agent_assets.pipeline.config import EvalConfig
from agent_assets.pipeline.evaluating.variants import adapters_of, content_name
from agent_assets.pipeline.stage import StageRun
from agent_assets.serving_settings import AnswerConfig, load_serving

if TYPE_CHECKING:
    from agent_assets.agent.loop import ChatModel
    from agent_assets.conversations.items import EvalItem
    from agent_assets.engines.servers.serve import Endpoint
    from agent_assets.evaluation.metrics import ItemResult
    from agent_assets.evaluation.report import ServingCost


_USUAL = BaseModelSettings()


@dataclass(frozen=True)
class VariantAnswers:
    """What the variants answered to their items, what serving each took, and the seconds of all."""

    results: "dict[str, list[ItemResult]]"
    serving: "dict[str, ServingCost]"
    seconds: float


def answer_settings(settings: EvalConfig) -> AnswerConfig:
    """Limits of one answer: those of `/chat`, but for what the pipeline says otherwise."""
    changed = {name: value for name, value in _otherwise(settings).items() if value is not None}
    return load_serving().answers.model_copy(update={**changed, "seconds": settings.item_seconds})


def differences(settings: EvalConfig, base: BaseModelSettings = _USUAL) -> dict[str, int]:
    """What the pipeline says otherwise than `/chat` does it, as `/chat` has it.

    Args:
        base: its base model.
    """
    served = load_serving()
    served_length = served.inference.context_length(base.context_length)
    as_chat = {**served.answers.model_dump(), "max_model_len": served_length}
    otherwise = {**_otherwise(settings), "max_model_len": settings.max_model_len}
    return {
        name: as_chat[name]
        for name, value in otherwise.items()
        if value not in (None, as_chat[name])
    }


def _otherwise(settings: EvalConfig) -> dict[str, int | None]:
    return {"max_turns": settings.max_turns, "max_tokens": settings.max_tokens}


def context_length(settings: EvalConfig, base: BaseModelSettings = _USUAL) -> int:
    """Tokens: as served, but for what the pipeline says otherwise.

    Args:
        base: its base model.
    """
    served = load_serving().inference.context_length(base.context_length)
    return settings.max_model_len or served


def evaluation_share(settings: EvalConfig) -> float:
    """Share of a GPU's memory that the server of an evaluation takes.

    Raises:
        ConfigError: serving keeps so much that both do not fit.
    """
    inference = load_serving().inference
    share = settings.gpu_memory_share or inference.gpu_memory_of_stages
    beside = inference.gpu_memory if inference.gpu == "share" else 0.0
    if share <= 0 or share + beside > 1:
        raise ConfigError(
            f"Serving keeps {beside:.2f} of the GPU's memory, and evaluation asks for {share:.2f}.",
            next_step="lower inference.gpu_memory_share in serving.yaml or "
            "eval_report.gpu_memory_share in defs.yaml, or leave both out.",
        )
    return share


def served_tool_call_parser() -> str | None:
    """The parser of tool calls that serving is told to use; None where the template decides."""
    return load_serving().inference.tool_call_parser


def own_template(base_model: Path) -> str | None:
    """The chat template that the base model came with, where agents speak by ours: the untrained
    model is asked by it, because a form that it never saw would flatter every gain.

    Args:
        base_model: folder of the artifact.
    """
    path = base_model / OWN_TEMPLATE_FILE
    return path.read_text(encoding="utf-8") if path.is_file() else None


def answers_version(settings: EvalConfig, base: BaseModelSettings = _USUAL) -> dict[str, object]:
    """What a fingerprint holds of how answers are made.

    Args:
        base: the base model.
    """
    parser = served_tool_call_parser()
    return {
        **answer_settings(settings).fingerprint_settings(),
        "max_model_len": context_length(settings, base),
        **held_as(base),
        **({} if parser is None else {"tool_call_parser": parser}),
    }


def held_as(base: BaseModelSettings) -> dict[str, str]:
    """What fingerprints hold of weights that servers hold otherwise than they are stored."""
    return {} if base.quantization == "none" else {"quantization": base.quantization}


@dataclass(frozen=True)
class ServedVariant:
    """A variant on a server, and the name that it is asked by there."""

    endpoint: "Endpoint"
    model: str


class ServedVariants:
    """The variants of one agent, answering; made by `serve_variants`."""

    def __init__(self, run: StageRun, served: Mapping[str, ServedVariant]) -> None:
        self._run, self._served = run, served
        self._answers = answer_settings(run.config.eval_report)

    def ask(self, items: "Mapping[str, Sequence[EvalItem]]", *, stage: str) -> VariantAnswers:
        """Ask variants their items, all variants at once.

        Args:
            items: by variant.
            stage: what the progress calls it.

        Raises:
            EngineFailed: too many items failed for other reasons than an answer.
        """
        show = self._run.engines.progress(self._run.context, stage=stage)
        total, done = sum(map(len, items.values())), Counter[str]()

        def count(variant: str, answered: int) -> None:
            done[variant] = answered
            show(done.total(), total)

        async def ask_all() -> "list[tuple[list[ItemResult], ServingCost]]":
            return await asyncio.gather(
                *(
                    self._ask(variant, asked, partial(count, variant))
                    for variant, asked in items.items()
                )
            )

        show(0, total)
        started = time.monotonic()
        answered = dict(zip(items, asyncio.run(ask_all()), strict=True))
        return VariantAnswers(
            {variant: results for variant, (results, _) in answered.items()},
            {variant: serving for variant, (_, serving) in answered.items()},
            time.monotonic() - started,
        )

    async def _ask(
        self, variant: str, items: "Sequence[EvalItem]", count: Callable[[int], None]
    ) -> "tuple[list[ItemResult], ServingCost]":
        from agent_assets.evaluation.report import ServingCost
        from agent_assets.evaluation.runner import run_items

        run = self._run
        tools = read_artifact_tools(run.path("mcp_tool_schema"))
        started = time.monotonic()
        async with (
            run.pipeline.tool_servers.open(memories=run.memories, log_dir=run.logs) as toolbox,
            self._model(variant) as model,
        ):
            results = await run_items(
                model,
                toolbox,
                tools,
                items,
                self._answers,
                concurrency=run.config.eval_report.concurrency,
                on_progress=lambda answered, _: count(answered),
            )
        served = self._served.get(variant)
        memory = 0 if served is None else served.endpoint.peak_memory_bytes
        return results, ServingCost(time.monotonic() - started, memory)

    def _max_tokens(self, variant: str) -> int:
        most = self._answers.max_tokens
        return min(most, self._run.config.eval_report.base_max_tokens) if variant == BASE else most

    def _template_of(self, variant: str) -> JsonObject | None:
        template = own_template(self._run.path("base_model")) if variant == BASE else None
        return None if template is None else {"chat_template": template}

    @asynccontextmanager
    async def _model(self, variant: str) -> "AsyncIterator[ChatModel]":
        from agent_assets.agent.answer_turn import answering_model
        from agent_assets.conversations.memories import read_profile
        from agent_assets.evaluation.search_and_quote import SearchAndQuote

        if variant == QUOTE:
            memories = self._run.memories
            yield SearchAndQuote("en" if memories is None else read_profile(memories).language)
            return
        served = self._served[variant]
        async with answering_model(
            served.endpoint.base_url,
            served.model,
            max_tokens=self._max_tokens(variant),
            timeout_s=self._answers.seconds,
            extra_body=self._template_of(variant),
        ) as model:
            yield model


@contextmanager
def serve_variants(run: StageRun, folder: Path) -> Iterator[ServedVariants]:
    """Serve base model and adapters during the block: on a CPU each on a server of its own, side by
    side, on a GPU on one.

    Args:
        folder: of the artifact, for the servers' logs.

    Raises:
        EngineFailed, EngineTimeout, EngineOutOfMemory: a server failed, or refused an adapter.
    """
    settings = run.config.eval_report
    adapters = adapters_of(run)
    names = {variant: content_name(run, adapter) for variant, adapter in adapters.items()}
    folders = {variant: {names[variant]: adapter.path} for variant, adapter in adapters.items()}
    together = {name: path for held in folders.values() for name, path in held.items()}
    apart = len(names) < run.engines.servers_at_once()
    with run.engines.serve(
        run.context,
        run.path("base_model"),
        {BASE: {}, **folders} if apart else {BASE: together},
        log_dir=folder / "logs",
        failed_logs=run.logs,
        max_model_len=context_length(settings, run.config.base_model),
        max_lora_rank=max([load_serving().inference.max_rank, *map(_rank, together.values())]),
        concurrency=settings.concurrency,
        max_minutes=settings.max_minutes,
        max_memory_gb=settings.max_memory_gb,
        gpu_memory_utilization=evaluation_share(settings),
        tool_call_parser=served_tool_call_parser(),
        templates_of_requests=own_template(run.path("base_model")) is not None,
    ) as endpoints:
        base = endpoints[BASE]
        trained = {
            variant: ServedVariant(endpoints.get(variant, base), name)
            for variant, name in names.items()
        }
        yield ServedVariants(run, {BASE: ServedVariant(base, base.model), **trained})


def _rank(adapter: Path) -> int:
    config = adapter / ADAPTER_CONFIG
    return int(json.loads(config.read_text(encoding="utf-8"))["r"]) if config.is_file() else 0
