"""A pipeline whose server has tools that cannot be used: they are named, and the others go on."""

import sys
from pathlib import Path
from typing import Any

import dagster as dg

from agent_assets.engines.local_engines import LocalEngines
from agent_assets.pipeline.artifact_tools import read_artifact_tools
from agent_assets.resources.store import StoreResource
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from support.yaml_pipelines import assets_of, loaded

ODD = Path(__file__).parents[1] / "agent" / "odd_server.py"
SERVERS = {"mcpServers": {"odd": {"command": sys.executable, "args": [str(ODD), "mixed"]}}}


def schemas_made(folder: Path, tools: dict[str, Any]) -> tuple[Artifact, dg.AssetCheckEvaluation]:
    """The snapshot of a pipeline with these `tools`, and its check as Dagster has it."""
    with (
        loaded({"name": "odd", "tools": tools}, SERVERS) as definitions,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        result = dg.materialize(
            assets_of(definitions),
            instance=instance,
            selection=[dg.AssetKey(["odd", "mcp_tool_schema"])],
            resources={
                "store": StoreResource(root=str(folder / "store"), cache=str(folder)),
                "mongo": dg.ResourceDefinition.none_resource(),
                "engines": LocalEngines(environments=str(folder), device="cpu", home=str(folder)),
            },
        )
        assert result.success
        (check,) = result.get_asset_check_evaluations()
    store = ArtifactStore(str(folder / "store"))
    key = ArtifactKey("odd", "mcp_tool_schema")
    (fingerprint,) = store.versions(key)
    artifact = store.find(key, fingerprint)
    assert artifact is not None
    return artifact, check


def test_a_tool_that_cannot_be_used_is_a_warning_with_its_name(tmp_path: Path) -> None:
    artifact, check = schemas_made(
        tmp_path, {"without": ["untidy"], "read_only": ["odd_tool", "admin.tools.list"]}
    )
    assert [tool.name for tool in read_artifact_tools(artifact.path)] == [
        "admin_tools_list",
        "odd_tool",
    ]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    said = str(check.description)
    assert "odd/not_a_schema: not a JSON Schema at properties/n/type" in said
    # A choice is no fault.
    assert "untidy" not in said
    assert artifact.manifest.config["without"] == ["untidy"]


def test_who_chose_none_of_them_is_not_warned(tmp_path: Path) -> None:
    _, check = schemas_made(tmp_path, {"only": ["odd_tool"], "read_only": ["odd_tool"]})
    assert check.passed
