"""What every stage makes of a fixed input, against what it made when that was recorded.

Artifacts are reused by `code_version`, so code that makes something else under the same one leaves
every store with artifacts that nothing would make any more. `AGENT_ASSETS_RECORD=1 pytest
tests/graph/test_data_versions.py ...` records anew; do it after raising the `code_version` of the
stages that the failure names.

Text is compared by its data version. Weights differ in their last bits from one kind of CPU to
another: of those, the names and shapes of tensors, and numbers such as losses, compared with a
tolerance.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_assets.store.manifest import Manifest

RECORD = "AGENT_ASSETS_RECORD"
FILE = Path(__file__).resolve().parents[1] / "graph" / "data_versions.json"
TOLERANCE = 0.005  # of the larger number


@dataclass(frozen=True)
class Made:
    """What a stage made: its code version, the stages it was made from, and what is compared."""

    code_version: str
    inputs: tuple[str, ...]
    content: Mapping[str, Any]


def made_in(pipeline: Path, stages: tuple[str, ...]) -> dict[str, Made]:
    """Of a pipeline's folder in a store, in which every stage was made once."""
    by_stage = {}
    for stage in stages:
        (path,) = (pipeline / stage).rglob("manifest.json")
        manifest = Manifest.model_validate_json(path.read_bytes())
        by_stage[stage] = Made(
            manifest.code_version, tuple(manifest.inputs), _content(path.parent, manifest)
        )
    return by_stage


def _content(folder: Path, manifest: Manifest) -> dict[str, Any]:
    files = [name for name in manifest.files if not name.startswith(("logs/", "plots/"))]
    content: dict[str, Any] = {
        "files": sorted(files),
        "checks": sorted(check.name for check in manifest.checks),
    }
    weights = sorted(name for name in files if name.endswith(".safetensors"))
    if weights:
        content["tensors"] = {name: _tensors(folder / name) for name in weights}
    elif manifest.asset not in ("eval_report", "release"):  # these say how well weights answer
        content["data_version"] = manifest.data_version
    for name in (
        "chat_template.jinja",
        "scenarios.jsonl",
        "heldout_scenarios.jsonl",
        "adapter_config.json",
    ):
        if name in manifest.files:
            content[name] = _text_hash(folder / name)
    if "loss.jsonl" in manifest.files:
        points = [
            json.loads(line)
            for line in (folder / "loss.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        content["loss"] = [point["loss"] for point in points]
        content["learning_rate"] = [point["learning_rate"] for point in points]
    if "report.json" in manifest.files:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        content |= {key: report[key] for key in ("items", "bootstrap")}
        content["metrics"] = {
            system: sorted(scores) for system, scores in report["systems"].items()
        }
    if "candidate.json" in manifest.files:
        candidate = json.loads((folder / "candidate.json").read_text(encoding="utf-8"))
        items = json.loads((folder / "items.json").read_text(encoding="utf-8"))
        content["parts"] = sorted(candidate["parts"])
        content["items"] = {item: entry["digest"] for item, entry in items.items()}
    return content


def _text_hash(path: Path) -> str:
    """Of text that may name the base weights, whose hash is not the same everywhere."""
    lines = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if "base_model_name_or_path" not in line
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _tensors(path: Path) -> str:
    """Hash of names, types and shapes, from the header of a safetensors file."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    shapes = {
        name: [entry["dtype"], entry["shape"]]
        for name, entry in header.items()
        if name != "__metadata__"
    }
    return (
        f"{len(shapes)} tensors, "
        f"{hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()[:16]}"
    )


def check_recorded(pipeline: str, results: Mapping[str, Made], file: Path = FILE) -> None:
    """Fail where a stage makes something else than recorded, and say whose `code_version` has to be
    raised.
    """
    recorded = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if os.environ.get(RECORD):
        now = {
            stage: {"code_version": result.code_version, "made": result.content}
            for stage, result in results.items()
        }
        text = json.dumps(recorded | {pipeline: now}, indent=1, sort_keys=True)
        file.write_text(text + "\n", encoding="utf-8")
        return
    problems = []
    known = recorded.get(pipeline, {})
    changed = {
        stage
        for stage, result in results.items()
        if stage not in known or not _same(result.content, known[stage])
    }
    for stage, result in results.items():
        if changed & _ancestors(stage, results):
            continue  # it was given something else
        if (
            stage in changed
            and stage in known
            and result.code_version == known[stage]["code_version"]
        ):
            what = sorted(
                key
                for key, value in result.content.items()
                if value != known[stage]["made"].get(key)
            )
            problems.append(
                f"{stage} makes something else ({', '.join(what)}) under code_version "
                f"{result.code_version}: raise "
                f"code_version of the stage {stage} if that is meant, and record anew"
            )
        elif stage in changed or result.code_version != known[stage]["code_version"]:
            problems.append(
                f"{stage} has code_version {result.code_version}, which is not recorded: "
                "record anew"
            )
    if problems:
        pytest.fail(
            f"{'; '.join(problems)} ({RECORD}=1, see tests/support/recorded_versions.py).",
            pytrace=False,
        )


def _same(content: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    return _close(json.loads(json.dumps(content)), known["made"])


def _close(value: Any, other: Any) -> bool:
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(_close(value[key], other[key]) for key in value)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_close, value, other))
    if isinstance(value, float) and isinstance(other, float):
        return abs(value - other) <= TOLERANCE * max(abs(value), abs(other))
    return bool(value == other)


def _ancestors(stage: str, results: Mapping[str, Made]) -> set[str]:
    ancestors: set[str] = set()
    waiting = [name for name in results[stage].inputs if name in results]
    while waiting:
        name = waiting.pop()
        if name not in ancestors:
            ancestors.add(name)
            waiting += [parent for parent in results[name].inputs if parent in results]
    return ancestors
