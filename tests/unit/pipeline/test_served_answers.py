"""Evaluation asks as `/chat` answers, and what decides an answer is part of the fingerprint."""

from pathlib import Path

from agent_assets.engines.chat_templates.choice import OWN_TEMPLATE_FILE
from agent_assets.pipeline.config import EvalConfig, PipelineConfig
from agent_assets.pipeline.evaluating.served_answers import (
    answer_settings,
    context_length,
    differences,
    own_template,
)
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.pipeline.stages.eval_report import config
from agent_assets.serving_settings import load_serving

CHAT = load_serving()


def fingerprint(folder: Path, **settings: object) -> object:
    (folder / "mcp_config.json").write_text('{"mcpServers": {}}', encoding="utf-8")
    pipeline = PipelineConfig.model_validate({"name": "p", "eval_report": settings})
    return config(PipelineSpec(pipeline, folder))


def test_limits_are_those_of_chat() -> None:
    answers = answer_settings(EvalConfig())
    assert answers.model_copy(update={"seconds": CHAT.answers.seconds}) == CHAT.answers
    assert context_length(EvalConfig()) == CHAT.inference.max_model_len
    assert differences(EvalConfig()) == {}


def test_other_limits_are_other_reports_and_are_told(tmp_path: Path) -> None:
    shorter = EvalConfig(max_tokens=16, max_turns=CHAT.answers.max_turns)
    assert answer_settings(shorter).max_tokens == 16
    assert differences(shorter) == {"max_tokens": CHAT.answers.max_tokens}
    assert fingerprint(tmp_path, max_tokens=16) != fingerprint(tmp_path)
    same = fingerprint(tmp_path, max_tokens=CHAT.answers.max_tokens)
    assert same == fingerprint(tmp_path)


def test_the_untrained_model_is_asked_by_the_template_that_it_came_with(tmp_path: Path) -> None:
    assert own_template(tmp_path) is None
    (tmp_path / OWN_TEMPLATE_FILE).write_text("{{ messages }}", encoding="utf-8")
    assert own_template(tmp_path) == "{{ messages }}"
