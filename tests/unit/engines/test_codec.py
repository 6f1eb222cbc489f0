"""What engine programs and their callers tell each other: carried whole over JSON, refused by name
if it differs.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from agent_assets.engines.codec import decode, decode_text, encode
from agent_assets.engines.contracts import MergeResult, Parity, SftParams, WeightsLoaded
from agent_assets.engines.rl_contracts import LearnedSequence, LearnRequest
from agent_assets.errors import EngineFailed

PARAMS = SftParams(
    model_dir=Path("/models/base"),
    train_file=Path("train.jsonl"),
    out_dir=Path("out"),
    seed=1,
    epochs=2,
    learning_rate=1e-3,
    lora_rank=8,
    lora_alpha=16,
    lora_dropout=0.0,
    batch_size=1,
    grad_accum=1,
    max_length=64,
    warmup_ratio=0.0,
    precision="fp32",
)


def test_what_was_sent_arrives() -> None:
    assert decode_text(SftParams, json.dumps(encode(PARAMS)), program="swift_sft") == PARAMS
    request = LearnRequest(
        [LearnedSequence([1, 2, 3], [[1, 3]], [-0.5, -1.0], [0.25], 2)], rollouts=4
    )
    assert decode_text(LearnRequest, json.dumps(encode(request)), program="rl_trainer") == request
    result = MergeResult(
        parity=Parity(3, 40, 1e-5, 1.0, 1.0, True, "float32", 1e-5, 1.0),
        files=["model.safetensors"],
        seconds=1.5,
        tokens=10,
        tokens_per_s=2.0,
        weights_loaded=WeightsLoaded("base_model", "ab", "float32"),
        versions={"torch": "2"},
        device="cpu",
        peak_memory_bytes=7,
    )
    assert decode_text(MergeResult, json.dumps(encode(result)), program="swift_merge") == result


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"epochs": None}, "swift_sft: SftParams.epochs is missing, not float"),
        ({"seed": "1"}, "SftParams.seed is str, not int"),
        ({"seed": True}, "SftParams.seed is bool, not int"),
        ({"precision": "fp8"}, "SftParams.precision is 'fp8', not one of 'bf16', 'fp32'"),
        ({"epoch": 3}, "SftParams has an unknown field 'epoch'"),
        ({"checkpoint_dir": 3}, "SftParams.checkpoint_dir is int, not Path"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_its_program(
    changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(EngineFailed) as caught:
        decode(SftParams, encode(PARAMS) | changed, program="swift_sft")
    assert says in caught.value.message and "agent-assets setup" in str(caught.value.next_step)


def test_a_missing_field_and_one_deep_inside_are_named() -> None:
    sent = encode(PARAMS)
    del sent["lora_rank"]
    with pytest.raises(EngineFailed, match="SftParams has no field 'lora_rank'"):
        decode(SftParams, sent, program="swift_sft")
    with pytest.raises(
        EngineFailed, match=r"LearnRequest\.sequences\[0\]\.ids\[1\] is str, not int"
    ):
        sequence = {
            "ids": [1, "2"],
            "spans": [],
            "logprobs": [],
            "advantages": [],
            "rollout_tokens": 1,
        }
        decode(LearnRequest, {"sequences": [sequence], "rollouts": 1}, program="rl_trainer")
    with pytest.raises(EngineFailed, match="LearnRequest is list, not an object"):
        decode(LearnRequest, [], program="rl_trainer")


def test_defaults_stand_in_for_what_an_older_caller_does_not_send() -> None:
    @dataclass(frozen=True)
    class Grown:
        kind: Literal["a", "b"]
        share: float | None = None
        names: dict[str, int] = field(default_factory=dict)

    assert decode(Grown, {"kind": "a", "share": 1}, program="x") == Grown("a", 1.0, {})
