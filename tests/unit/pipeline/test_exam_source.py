"""The version of an exam is that of one elder's file."""

import os
from pathlib import Path

from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.exam_source import exam_of, exam_versions, has_exams
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.pipeline.stages.eval_report import config

TURN = '{"kind": "social", "question": "Hi."}\n'


def spec(folder: Path, exams: str | None) -> PipelineSpec:
    settings = {"name": "p", "partitions": "elders", "eval_report": {"exams": exams}}
    return PipelineSpec(PipelineConfig.model_validate(settings), folder)


def test_a_changed_exam_has_another_version_and_other_elders_keep_theirs(tmp_path: Path) -> None:
    (tmp_path / "exams").mkdir()
    ada, ben = (tmp_path / "exams" / f"{name}.jsonl" for name in ("ada", "ben"))
    for path in (ada, ben):
        path.write_text(TURN, encoding="utf-8")
    pipeline = spec(tmp_path, "exams")
    before = {name: exam_versions(pipeline, name) for name in ("ada", "ben", "eve")}
    assert before["ada"] == before["ben"] != {} and before["eve"] == {}
    ada.write_text(TURN * 2, encoding="utf-8")
    assert exam_versions(pipeline, "ada") != before["ada"]
    assert exam_versions(pipeline, "ben") == before["ben"]
    ada.unlink()
    assert exam_versions(pipeline, "ada") == {}


def test_without_a_folder_there_is_no_source_and_the_fingerprint_stays(tmp_path: Path) -> None:
    (tmp_path / "mcp_config.json").write_text('{"mcpServers": {}}', encoding="utf-8")
    with_exams, without = spec(tmp_path, os.fspath(tmp_path)), spec(tmp_path, None)
    assert has_exams(with_exams) and not has_exams(without)
    assert exam_of(without, "ada") is None
    assert config(with_exams) == config(without)
