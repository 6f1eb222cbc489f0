"""Which settings make an artifact another one."""

from pathlib import Path
from typing import Annotated

import pytest

from agent_assets.errors import ConfigError
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.rl.config import RlConfig
from agent_assets.strict_model import (
    IN_FINGERPRINT_IF_SET,
    NOT_IN_FINGERPRINT,
    NotInFingerprint,
    StrictModel,
    read_yaml,
)


class Inner(StrictModel):
    rate: float = 0.5
    limit: Annotated[int, NOT_IN_FINGERPRINT] = 3


class Outer(StrictModel):
    kind: str = "a"
    later: Annotated[list[str], IN_FINGERPRINT_IF_SET] = []  # noqa: RUF012 (pydantic copies it)
    width: Annotated[int, NotInFingerprint(unless=("kind", "b"))] = 1
    inner: Inner = Inner()


def test_marked_fields_stay_out_also_of_models_inside() -> None:
    assert Outer().fingerprint_settings() == {"kind": "a", "inner": {"rate": 0.5}}
    assert Outer(kind="b").fingerprint_settings() == {
        "kind": "b",
        "width": 1,
        "inner": {"rate": 0.5},
    }
    assert Outer(later=["x"]).fingerprint_settings()["later"] == ["x"]


def test_limits_of_a_run_rebuild_nothing_and_hyper_parameters_do() -> None:
    usual = PipelineConfig(name="x")
    limited = PipelineConfig.model_validate(
        {
            "name": "x",
            "sft_adapter": {"max_minutes": 1, "max_memory_gb": 1},
            "merged_model": {"max_minutes": 1},
            "eval_report": {"gpu_memory_share": 0.1, "max_minutes": 1},
            "release": {"keep_versions": 1},
            "llm": {"timeout_s": 1, "max_requests": 1, "concurrency": 1},
        }
    )
    for name in ("sft_adapter", "merged_model", "eval_report", "release", "llm"):
        assert (
            getattr(limited, name).fingerprint_settings()
            == getattr(usual, name).fingerprint_settings()
        ), name
    changed = PipelineConfig.model_validate({"name": "x", "sft_adapter": {"epochs": 3}})
    assert changed.sft_adapter.fingerprint_settings() != usual.sft_adapter.fingerprint_settings()


def test_how_many_rollouts_at_once_counts_only_where_it_changes_what_is_sampled() -> None:
    assert "concurrency" not in RlConfig(concurrency=3).fingerprint_settings()
    assert RlConfig(engine="swift_grpo", concurrency=3).fingerprint_settings()["concurrency"] == 3
    assert "backend" not in RlConfig().fingerprint_settings()
    assert RlConfig(backend="local").fingerprint_settings()["backend"] == "local"


def test_a_file_is_wrong_in_words_that_quote_no_value(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("kind: [s3cret]\ninner: {rat: s3cret}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_yaml(Outer, file)
    text = str(error.value)
    assert "kind: Input should be a valid string" in text and "did you mean 'rate'" in text
    assert "s3cret" not in text
    file.write_text("kind: {", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_yaml(Outer, file)
    file.write_text("", encoding="utf-8")
    assert read_yaml(Outer, file) == Outer()
