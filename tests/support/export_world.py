"""A home with one released agent whose model is tiny and random: what an export needs, with nothing
trained.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from agent_assets.conversations.messages import ToolSchema
from agent_assets.conversations.tools import schema_snapshot
from agent_assets.release.records import Part
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from support.artifacts import add_artifact
from support.command_line import ROOT as REPOSITORY
from support.release_cases import release

PIPELINE, ELDER = "elder_companion", "ada"
PROMPT = "You are Ada. You speak of your life."
TOOLS = [
    ToolSchema(
        "search_memories",
        "Memories of Ada.",
        {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    )
]


@dataclass(frozen=True)
class ExportWorld:
    settings: Settings
    store: ArtifactStore

    @property
    def home(self) -> Path:
        return self.settings.home


def make_export_world(home: Path, model: Path | None = None) -> ExportWorld:
    """Release `elder_companion/ada`. Without a model, its weights are a few bytes."""
    settings = Settings(home=home, store=str(home / "store"), engines=REPOSITORY / ".venvs")
    store = ArtifactStore(settings.store)
    weights: dict[str, str | bytes] = (
        {"model.safetensors": _safetensors()}
        if model is None
        else {path.name: path.read_bytes() for path in model.iterdir()}
    )
    parts = {
        "base": _part(store, "base_model", {"config.json": "{}"}, partition=None),
        "tools": _part(
            store, "mcp_tool_schema", {"tool_schema.json": schema_snapshot(TOOLS)}, partition=None
        ),
        "adapter": _part(
            store,
            "sft_adapter",
            {"adapter_model.safetensors": _safetensors(), "adapter_config.json": "{}"},
        ),
        "merged": _part(store, "merged_model", weights),
        "report": _part(
            store, "eval_report", {"report.html": "<p>Ada</p>", "report.json": "{}", "logs/a": "x"}
        ),
    }
    release(store, "1" * 32, parts=parts, system_prompt=PROMPT)
    return ExportWorld(settings, store)


def _part(
    store: ArtifactStore, asset: str, files: dict[str, str | bytes], partition: str | None = ELDER
) -> Part:
    key = ArtifactKey(PIPELINE, asset, partition)
    artifact: Artifact = add_artifact(
        store, key, "2" * 32, files, weights_loaded={"name": "tiny", "sha256": "3" * 64}
    )
    return Part.of(artifact)


def _safetensors() -> bytes:
    header = {"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(4)
