"""Runs in an engine environment: ms-swift's own driver of multi-turn rollouts, with our plugin and
scripted samples.

    python scripted_turns.py MODEL_DIR FILE

FILE holds `rollouts`, each with `scenario` and `turns` (texts; one that ends in "..." was cut), and
the fields of a row. It is overwritten with what the driver hands on to training, and with the
rewards.
"""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from swift import get_model_processor, get_template
from swift.infer_engine import RequestConfig
from swift.infer_engine.protocol import (
    ChatCompletionResponse,
    ChatCompletionResponseChoice,
    ChatMessage,
    RolloutOutput,
    UsageInfo,
)
from swift.rl_core.data import GRPOSample
from swift.rlhf_trainers.utils import encode_sample
from swift.rollout import invoke_async_hook, multi_turns, run_multi_turn

from agent_assets.engines.programs.grpo_plugin import NAME, VerifiableReward
from agent_assets.engines.programs.grpo_trainer import Grpo
from agent_assets.engines.programs.swift_template import register_agent_template
from agent_assets.errors import TrainingDataError


def drive(model_dir: str, script: dict[str, Any]) -> dict[str, Any]:
    """What training gets of the scripted rollouts: decoded prompts, learned tokens, rewards."""
    _, tokenizer = get_model_processor(model_dir, model_type="qwen3", load_model=False)
    template = get_template(
        tokenizer,
        template_type="chatml",
        agent_template=register_agent_template(),
        loss_scale="default",
    )
    template.set_mode("train")
    scheduler = multi_turns[NAME](max_turns=2, tokenizer=tokenizer, template=template)
    samples = []
    for number, rollout in enumerate(script["rollouts"]):
        row = {
            "messages": script["messages"],
            "tools": script["tools"],
            "scenario": rollout["scenario"],
        }
        samples.append(GRPOSample.from_row(row | {"request_id": f"r{number}"}))
    requests = [sample.to_infer_request(include_extra=True) for sample in samples]
    turns = {
        f"r{number}": iter(rollout["turns"]) for number, rollout in enumerate(script["rollouts"])
    }

    def sample(requests: list[Any], _: Any) -> list[RolloutOutput]:
        return [RolloutOutput(response=reply(next(turns[request.uuid]))) for request in requests]

    def reply(text: str) -> ChatCompletionResponse:
        ids = tokenizer.encode(text, add_special_tokens=False)
        choice = ChatCompletionResponseChoice(
            index=0,
            message=ChatMessage(role="assistant", content=text),
            token_ids=ids,
            finish_reason="length" if text.endswith("...") else "stop",
        )
        return ChatCompletionResponse(
            model="m", choices=[choice], usage=UsageInfo(1, len(ids), 1 + len(ids))
        )

    invoke_async_hook(scheduler.on_trajectory_start(requests))
    outputs = run_multi_turn(
        requests, sample(requests, None), scheduler, sample, RequestConfig(), max_turns=2
    )
    infos = [output.rollout_infos for output in outputs]
    state = SimpleNamespace(global_step=0)
    rewards = asyncio.run(
        VerifiableReward()([""] * len(infos), trainer_state=state, rollout_infos=infos)
    )
    texts = []
    for sample_input, output in zip(samples, outputs, strict=True):
        sample_input.apply_rollout_output(rollout_output=output)
        encoded = encode_sample(sample_input, template)
        learned = [
            token
            for token, label in zip(encoded["input_ids"], encoded["labels"], strict=True)
            if label != -100
        ]
        texts.append(
            {"all": tokenizer.decode(encoded["input_ids"]), "learned": tokenizer.decode(learned)}
        )
    rows = [{"messages": [{"role": "user", "content": "Open. " * count}]} for count in (1, 100)]
    trainer: Any = SimpleNamespace(
        args=SimpleNamespace(max_length=256, max_completion_length=128), template=template
    )
    try:
        Grpo.check_rows(trainer, rows)
        too_long = ""
    except TrainingDataError as error:
        too_long = f"TrainingDataError: {error.message}"
    return {
        "too_long": too_long,
        "rewards": rewards,
        "texts": texts,
        "turns": [info["num_turns"] for info in infos],
    }


if __name__ == "__main__":
    file = Path(sys.argv[2])
    outcome = drive(sys.argv[1], json.loads(file.read_text(encoding="utf-8")))
    file.write_text(json.dumps(outcome), encoding="utf-8")
