"""Models that somebody brings as a base: what is taken, and what is refused with the reason."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent_assets.cli.main import commands
from agent_assets.engines.environment import EngineEnv
from agent_assets.errors import BaseModelError
from support.engine_programs import Programs

pytestmark = pytest.mark.engine
Prepare = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def programs(engine_env: EngineEnv, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    log = tmp_path_factory.mktemp("sources") / "programs.log"
    with Programs(engine_env, log) as started:
        yield started


@pytest.fixture
def source(tiny_model: Path, tmp_path: Path) -> Path:
    """A model as somebody brings it."""
    return Path(shutil.copytree(tiny_model, tmp_path / "mine"))


@pytest.fixture
def prepare(programs: Programs, source: Path, tmp_path: Path) -> Prepare:
    def run(**params: Any) -> dict[str, Any]:
        asked = {"source": str(source), "chat_template": "hermes", "out_dir": str(tmp_path / "out")}
        answer: dict[str, Any] = programs(tmp_path, "call", "base_model", asked | params)
        return answer

    return run


def change(file: Path, **settings: Any) -> None:
    """Change settings of a JSON file; None removes one."""
    content = json.loads(file.read_text(encoding="utf-8")) | settings
    kept = {name: value for name, value in content.items() if value is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")


def test_weights_in_several_files_are_one_model(
    prepare: Prepare, programs: Programs, source: Path, tmp_path: Path
) -> None:
    programs(tmp_path, "in_shards", str(source), str(tmp_path / "large"))
    shards = sorted(path.name for path in (tmp_path / "large").glob("*.safetensors"))
    assert len(shards) > 1
    result = prepare(source=str(tmp_path / "large"))["result"]
    assert set(shards) < set(result["files"]) and result["parameters"] > 3_000_000
    (tmp_path / "large" / shards[1]).unlink()
    refused = prepare(source=str(tmp_path / "large"))
    assert f"1 of the {len(shards)} files of weights are missing" in refused["message"]
    assert shards[1] in refused["message"]


def test_a_quantized_source_is_refused(prepare: Prepare, source: Path) -> None:
    change(source / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    refused = prepare()
    assert refused["error"] == "BaseModelError" and "are quantized (gptq)" in refused["message"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "another architecture"),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, "no place for"),
        ({"intermediate_size": 256}, "tensors have another shape, such as"),
        ({"num_hidden_layers": 3}, "weights are missing"),
    ],
)
def test_weights_of_another_model_under_the_same_name_are_refused(
    prepare: Prepare, source: Path, settings: dict[str, Any], says: str
) -> None:
    change(source / "config.json", layer_types=None, **settings)
    refused = prepare()
    assert refused["error"] == "BaseModelError" and says in refused["message"]


def test_other_weights_than_pinned_are_refused(prepare: Prepare) -> None:
    digest = prepare()["result"]["weights_loaded"]["sha256"]
    assert "result" in prepare(sha256=digest)
    refused = prepare(sha256="0" * 64)
    assert "they have changed" in refused["message"] and digest[:12] in refused["message"]


@pytest.mark.parametrize("template", ["hermes", "native"])
def test_a_tokenizer_without_a_token_that_pads_gets_the_one_that_ends(
    prepare: Prepare, source: Path, tmp_path: Path, template: str
) -> None:
    change(source / "tokenizer_config.json", pad_token=None)
    assert prepare(chat_template=template)["result"]["padding"] == "<|im_end|>"
    written = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert written["pad_token"] == "<|im_end|>"
    change(source / "tokenizer_config.json", eos_token=None)
    assert "neither a token that pads nor one that ends" in prepare()["message"]


def test_more_context_than_the_model_has_is_refused(prepare: Prepare) -> None:
    assert prepare(context_length=4096)["result"]["longest_context"] == 4096
    assert "reads 4096 tokens at most" in prepare(context_length=4097)["message"]


def test_layers_that_are_not_there_are_named(prepare: Prepare) -> None:
    assert "result" in prepare(lora_target_modules=["q_proj", "down_proj"])
    refused = prepare(lora_target_modules=["q_proj", "c_attn"])
    assert "no layers called c_attn" in refused["message"] and "o_proj" in refused["message"]


def test_weights_are_kept_in_the_type_that_is_asked(prepare: Prepare, tmp_path: Path) -> None:
    assert prepare()["result"]["weights_loaded"]["dtype"] == "F32"
    out = tmp_path / "half"
    half = prepare(dtype="bfloat16", out_dir=str(out))["result"]
    assert half["weights_loaded"]["dtype"] == "bfloat16"
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "bfloat16"
    again = prepare(source=str(out), dtype="bfloat16", out_dir=str(tmp_path / "again"))["result"]
    assert again["weights_loaded"]["dtype"] == "BF16"


def test_a_base_model_is_tried_before_it_becomes_the_current_one(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = home / "base_models.yaml"
    file.write_text(
        f"models:\n  mine: {{source: {source}, chat_template: compact, context_length: 1024}}\n"
        f"  none: {{source: {tmp_path}/nowhere}}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(home))

    def base(*arguments: str) -> str:
        done = CliRunner().invoke(commands, ["base", *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    with pytest.raises(BaseModelError, match="no safetensors"):
        base("use", "none")
    assert "current" not in file.read_text(encoding="utf-8")
    output = base("use", "mine")
    assert "Agents can rest on it." in output and "1024 tokens" in output
    assert file.read_text(encoding="utf-8").startswith("current: mine\n")
    assert "* mine" in base("list") and not list((home / "logs").glob(".base-*"))
