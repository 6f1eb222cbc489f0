"""The engine programs on the tiny model: real training, merging, and what training and serving
render.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_assets.conversations.formats import to_openai, to_swift
from agent_assets.conversations.strict_tools import strict_openai_tools
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.programs.runtime import sha256_file
from support.engine_programs import Programs, conversations
from support.tiny_model import make_tiny_model

pytestmark = pytest.mark.engine

SETTINGS = {
    "seed": 7,
    "epochs": 3,
    "learning_rate": 5e-3,
    "lora_rank": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "batch_size": 4,
    "grad_accum": 1,
    "max_length": 512,
    "warmup_ratio": 0.0,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def programs(engine_env: EngineEnv, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    log = tmp_path_factory.mktemp("programs") / "programs.log"
    with Programs(engine_env, log) as started:
        yield started


def rows_file(folder: Path, *, count: int = 16) -> Path:
    row = json.dumps(to_swift(conversations()[0]), ensure_ascii=False)
    (folder / "train.jsonl").write_text((row + "\n") * count, encoding="utf-8")
    return folder / "train.jsonl"


def test_training_and_serving_render_the_same_tokens(
    programs: Programs, tiny_model: Path, tmp_path: Path
) -> None:
    cases = conversations()
    chats = []
    for case in cases:
        chat = to_openai(case)
        for message in chat["messages"]:  # what vLLM hands to the template: arguments decoded
            for called in message.get("tool_calls") or []:
                called["function"]["arguments"] = json.loads(called["function"]["arguments"])
        chats.append(
            {"messages": chat["messages"], "tools": strict_openai_tools(case.tools) or None}
        )
    renderings = programs(
        tmp_path, "render", str(tiny_model), [to_swift(case) for case in cases], chats
    )
    for rendering in renderings:
        assert rendering["same"], (rendering["trained"], rendering["served"])
    assert (
        "get_price(province: 四川|湖北, days: [string] (ISO days), near?: {x: number}, unit?): "
        in renderings[0]["trained"]
    )
    # Learned are what the model says and its end, calls twice as much; never questions, results, or
    # the tool block.
    call = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'
    end = "<|im_end|>\n"
    assert renderings[0]["learned"] == call + end + "It is ten o'clock." + end
    assert renderings[0]["doubled"] == call
    assert renderings[1]["learned"].startswith(
        "我来查一下。\n<tool_call>\n"
        '{"name": "get_price", "arguments": {"province": "四川", "days": ["2025'
    )
    assert (
        renderings[3]["learned"]
        == renderings[0]["learned"] + renderings[1]["learned"] + "Hello." + end
    )


def test_our_layers_have_the_gradients_of_peft(
    programs: Programs, tiny_model: Path, tmp_path: Path
) -> None:
    differences = programs(tmp_path, "gradients", str(tiny_model))
    assert len(differences) == 2 * 7 * 2 + 1
    assert max(differences.values()) < 1e-3, differences


def test_a_policy_step_shares_prompts_and_learns_what_a_grammar_let_it_choose(
    programs: Programs, tiny_model: Path, tmp_path: Path
) -> None:
    figures = programs(tmp_path, "policy_gradients", str(tiny_model))
    assert max(figures["shared"].values()) < 1e-3, figures["shared"]
    assert (
        figures["forwarded"] == 499 + (6 + 1) + (450 + 1) + 3
    )  # the prompt once; its last token says the first learned
    assert max(figures["guided"].values()) < 1e-3 and figures["guided_fraction"] == 1.0


def test_training_learns_repeats_itself_and_merges(
    programs: Programs, engine_env: EngineEnv, tiny_model: Path, tmp_path: Path
) -> None:
    params = {"model_dir": str(tiny_model), "train_file": str(rows_file(tmp_path)), **SETTINGS}
    first, second = tmp_path / "first", tmp_path / "second"
    done = programs(tmp_path, "call", "swift_sft", params | {"out_dir": str(first)})
    result = done["result"]
    steps = [message for message in done["messages"] if message["stage"] == "train"]
    assert [step["step"] for step in steps] == list(range(1, 13))
    # A random model this small can hardly learn: its words all lie close together.
    assert result["loss_last"] < 0.95 * result["loss_first"]
    assert result["rows"], result["rows_too_long"] == (16, 0)
    assert result["weights_loaded"] == {
        "name": "base_model",
        "sha256": sha256_file(tiny_model / "model.safetensors"),
        "dtype": "float32",
        "quantization": None,
    }
    curve = [
        json.loads(line) for line in (first / "loss.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [point["loss"] for point in curve] == [step["loss"] for step in steps]
    assert sorted(path.name for path in first.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "loss.jsonl",
    ]
    assert str(tmp_path) not in (first / "adapter_config.json").read_text(encoding="utf-8")

    programs(tmp_path, "call", "swift_sft", params | {"out_dir": str(second)})
    for name in ("adapter_config.json", "adapter_model.safetensors", "loss.jsonl"):
        assert sha256_file(first / name) == sha256_file(second / name), name

    merged = tmp_path / "merged"
    places = {"model_dir": str(tiny_model), "adapter_dir": str(first), "out_dir": str(merged)}
    parity = programs(tmp_path, "call", "swift_merge", places)["result"]["parity"]
    assert parity["max_logit_difference"] < 1e-3
    assert (parity["token_agreement"], parity["greedy_agreement"]) == (1.0, 1.0)
    assert parity["files_exact"] and parity["stored_dtype"] == "float32"
    assert parity["stored_logit_difference"] == parity["max_logit_difference"]
    assert sha256_file(merged / "chat_template.jinja") == sha256_file(
        tiny_model / "chat_template.jinja"
    )

    other = make_tiny_model(tmp_path / "other", engine_env, seed=1)
    refused = programs(tmp_path, "call", "swift_merge", places | {"model_dir": str(other)})
    assert refused["error"] == "BaseModelError"
    assert "was trained on base:" in refused["message"]


def test_a_bfloat16_model_is_merged_exactly_although_rounding_moves_its_logits(
    programs: Programs, tiny_model: Path, tmp_path: Path
) -> None:
    base, adapter, merged = (tmp_path / name for name in ("base", "adapter", "merged"))
    programs(tmp_path, "in_bfloat16", str(tiny_model), str(base))
    training = {
        "model_dir": str(base),
        "train_file": str(rows_file(tmp_path)),
        "out_dir": str(adapter),
    }
    trained = programs(
        tmp_path, "call", "swift_sft", training | SETTINGS | {"epochs": 1, "precision": "bf16"}
    )
    assert trained["result"]["weights_loaded"]["dtype"] == "bfloat16"
    places = {"model_dir": str(base), "adapter_dir": str(adapter), "out_dir": str(merged)}
    parity = programs(tmp_path, "call", "swift_merge", places)["result"]["parity"]
    assert parity["files_exact"] and parity["stored_dtype"] == "bfloat16"
    assert parity["max_logit_difference"] < 1e-3 < parity["stored_logit_difference"]
    assert parity["token_agreement"] == 1.0
    assert json.loads((merged / "config.json").read_text(encoding="utf-8"))["dtype"] == "bfloat16"


def test_training_resumes_to_the_same_bytes(
    programs: Programs, tiny_model: Path, tmp_path: Path
) -> None:
    params = {
        "model_dir": str(tiny_model),
        "train_file": str(rows_file(tmp_path)),
        **SETTINGS,
        "epochs": 1,
        "checkpoint_seconds": 0.0,
    }
    whole, halves = (
        {"out_dir": str(tmp_path / name), "checkpoint_dir": str(tmp_path / f"{name}-steps")}
        for name in "ab"
    )
    programs(tmp_path, "call", "swift_sft", params | whole)
    killed = programs(tmp_path, "call", "swift_sft", params | halves, 3)
    assert "result" not in killed
    resumed = programs(tmp_path, "call", "swift_sft", params | halves)
    assert [m["step"] for m in resumed["messages"] if m["stage"] == "train"] == [3, 4]
    for name in ("adapter_model.safetensors", "loss.jsonl"):
        assert sha256_file(tmp_path / "a" / name) == sha256_file(tmp_path / "b" / name), name


def test_rows_that_are_too_long_are_counted_never_cut(
    programs: Programs, tiny_model: Path, tmp_path: Path
) -> None:
    rows = rows_file(tmp_path, count=2)
    long = to_swift(conversations()[3])
    with rows.open("a", encoding="utf-8") as file:
        file.write(json.dumps(long, ensure_ascii=False) + "\n")
    params = {
        "model_dir": str(tiny_model),
        "train_file": str(rows),
        "out_dir": str(tmp_path / "out"),
        **SETTINGS,
        "epochs": 1,
    }
    result = programs(tmp_path, "call", "swift_sft", params | {"max_length": 300})["result"]
    assert (result["rows"], result["rows_too_long"]) == (3, 1)
    none = programs(tmp_path, "call", "swift_sft", params | {"max_length": 64})
    assert none["error"] == "TrainingDataError"
    assert "None of the 3 training rows fits into 64 tokens" in none["message"]


def test_a_loss_that_is_no_number_names_its_step(
    programs: Programs, tiny_model: Path, tmp_path: Path
) -> None:
    params = {
        "model_dir": str(tiny_model),
        "train_file": str(rows_file(tmp_path)),
        "out_dir": str(tmp_path / "out"),
    }
    stopped = programs(tmp_path, "call", "swift_sft", params | SETTINGS | {"learning_rate": 1e30})
    assert stopped["error"] == "EngineFailed"
    assert "at step 2 of 12" in stopped["message"]


def test_base_model_from_a_folder(programs: Programs, tiny_model: Path, tmp_path: Path) -> None:
    params = {
        "source": str(tiny_model),
        "chat_template": "hermes",
        "out_dir": str(tmp_path / "out"),
    }
    result = programs(tmp_path, "call", "base_model", params)["result"]
    digest = sha256_file(tiny_model / "model.safetensors")
    assert result["weights_loaded"] == {
        "name": tiny_model.name,
        "quantization": None,
        "dtype": "F32",
        "sha256": digest,
    }
    assert sha256_file(tmp_path / "out" / "model.safetensors") == digest

    def error(**changed: str) -> str:
        answer = programs(tmp_path, "call", "base_model", params | changed)
        assert answer["error"] == "BaseModelError"
        return str(answer["message"])

    assert "they have changed" in error(sha256="0" * 64)
    assert "has no config.json" in error(source=str(tmp_path / "nowhere"))
    assert "no-such-package is not installed" in error(source="pypi:no-such-package")
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in tiny_model.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    settings = json.loads((broken / "config.json").read_text(encoding="utf-8"))
    (broken / "config.json").write_text(
        json.dumps(settings | {"num_hidden_layers": 3}), encoding="utf-8"
    )
    settings["layer_types"].append("full_attention")
    (broken / "config.json").write_text(
        json.dumps(settings | {"num_hidden_layers": 3}), encoding="utf-8"
    )
    assert "weights are missing from the safetensors" in error(source=str(broken))
