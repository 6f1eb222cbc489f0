"""External plugin of ms-swift: rollouts with the agent's real tools, and verifiable rewards. Names:
`agent_assets`.

Tools and rewards are asked for in the process that started the training, through its socket; what
can be asked is in `agent_assets/rl/backends/rollout_service.py`. ms-swift imports this file by its
path, in the trainer and in `swift rollout`.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from copy import copy, deepcopy
from typing import TYPE_CHECKING, TypeVar

from swift.rewards import AsyncORM, orms
from swift.rollout import MultiTurnScheduler, multi_turns

from agent_assets.conversations.messages import JsonObject
from agent_assets.engines.codec import decode, decode_text, encode
from agent_assets.engines.programs.swift_template import register_agent_template
from agent_assets.engines.rl_contracts import (
    LONGEST_LINE,
    ROLLOUT_SETTINGS,
    BeginReply,
    BeginRequest,
    RolloutRequest,
    RolloutSettings,
    ScoreReply,
    ScoreRequest,
    TurnReply,
    TurnRequest,
)
from agent_assets.errors import EngineFailed

if TYPE_CHECKING:
    from swift.infer_engine.protocol import ChatCompletionResponseChoice, RolloutInferRequest
    from swift.template import Template
    from transformers import TrainerState

NAME = "agent_assets"
R = TypeVar("R")


def settings() -> RolloutSettings:
    """What the process that started the training says about its rollouts."""
    return decode_text(RolloutSettings, os.environ[ROLLOUT_SETTINGS], program=NAME)


async def ask_rollout_service(request: RolloutRequest, reply: type[R]) -> R:
    """The answer to one request.

    Raises:
        EngineFailed: the other side ended the run.
    """
    reader, writer = await asyncio.open_unix_connection(settings().socket, limit=LONGEST_LINE)
    try:
        writer.write(json.dumps(encode(request)).encode() + b"\n")
        line = await reader.readline()
    finally:
        writer.close()
    answer = json.loads(line) if line.endswith(b"\n") else {"failed": True}
    if answer.get("failed"):
        raise EngineFailed(
            f"The request '{request.op}' failed.", next_step="read the error of the run itself."
        )
    return decode(reply, answer, program=NAME)


class McpScheduler(MultiTurnScheduler):  # type: ignore[misc]
    """After each sampled turn the agent loop executes its calls; their results come before the
    next turn.
    """

    def __init__(self, *arguments: object, **settings: object) -> None:
        super().__init__(*arguments, **settings)
        self._results: dict[str, list[dict[str, str]]] = {}

    @property
    def _chat(self) -> "Template":
        """The chat template: of the trainer, or of the engine in a rollout server."""
        return self._template or self.infer_engine.template

    async def on_trajectory_start(self, requests: Sequence["RolloutInferRequest"]) -> None:
        """Rollouts begin."""
        await ask_rollout_service(BeginRequest(), BeginReply)

    async def on_turn_end(
        self,
        infer_request: "RolloutInferRequest",
        response_choice: "ChatCompletionResponseChoice",
        current_turn: int,
    ) -> JsonObject:
        """Hand the turn over; whether the rollout ends with it."""
        turn = TurnRequest(
            rollout=infer_request.uuid,
            scenario=int(infer_request.data_dict["scenario"]),
            text=response_choice.message.content or "",
            tokens=len(response_choice.token_ids or ()),
            cut=response_choice.finish_reason == "length",
        )
        reply = await ask_rollout_service(turn, TurnReply)
        infos = {"rollout": infer_request.uuid}
        if reply.done or not self._fits(infer_request, reply.messages):
            return {"done": True, "rollout_infos": infos}
        self._results[infer_request.uuid] = reply.messages
        return {"done": False, "rollout_infos": infos}

    def step(
        self,
        infer_request: "RolloutInferRequest",
        response_choice: "ChatCompletionResponseChoice",
        current_turn: int,
    ) -> JsonObject:
        """What the model reads before its next turn."""
        infer_request.messages += self._results.pop(infer_request.uuid)
        return {"infer_request": infer_request}

    def get_response_token_data(
        self,
        infer_request: "RolloutInferRequest",
        response_choice: "ChatCompletionResponseChoice",
        *arguments: object,
        **settings: object,
    ) -> tuple[list[int], list[int]]:
        """The sampled tokens, the end of the turn exactly once.

        Before a tool's result the template writes it, and it is learned there. After the last turn
        nothing does, and where padding is the same token, the engine drops it: a model that does
        not learn to stop talks on.
        """
        ids, mask = super().get_response_token_data(
            infer_request, response_choice, *arguments, **settings
        )
        end = self._chat.template_meta.stop_token_id
        if ids[-1:] == [end]:
            ids, mask = ids[:-1], mask[:-1]
        if infer_request.uuid not in self._results and response_choice.finish_reason == "stop":
            ids, mask = [*ids, end], [*mask, 1]
        return ids, mask

    def _fits(
        self, infer_request: "RolloutInferRequest", results: Sequence[dict[str, str]]
    ) -> bool:
        """Whether a whole turn fits into the context after these messages: ms-swift would cut the
        start away.
        """
        template = copy(self._chat)
        template.max_length = None
        template.set_mode("transformers")
        next_request = deepcopy(infer_request)
        next_request.messages += [*results, {"role": "assistant", "content": None}]
        limits = settings()
        tokens = len(template.encode(next_request)["input_ids"])
        return bool(tokens + limits.max_tokens <= limits.max_model_len)


class VerifiableReward(AsyncORM):  # type: ignore[misc]
    """The rewards of `agent_assets/rl/rewards.py`, weighted and, with a judge, judged: one number a
    rollout.
    """

    async def __call__(
        self,
        completions: Sequence[str],
        *,
        trainer_state: "TrainerState",
        rollout_infos: Sequence[dict[str, str]],
        **columns: object,
    ) -> list[float]:
        """Score all rollouts of a step, group by group."""
        rollouts = [infos["rollout"] for infos in rollout_infos]
        step = int(trainer_state.global_step) + 1
        return (await ask_rollout_service(ScoreRequest(step, rollouts), ScoreReply)).rewards


# The rollout server's workers are started by spawn: of ours they import this file alone.
register_agent_template()
multi_turns[NAME] = McpScheduler
orms[NAME] = VerifiableReward
