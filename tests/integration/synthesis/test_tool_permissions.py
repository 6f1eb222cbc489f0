"""While data is made nothing is called that may change things, unless it is named in defs.yaml."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.permissions import ToolPermissions
from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.conversations.messages import ToolCall
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.errors import ToolServerError
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.resources.store import StoreResource
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from support.synthesis_runs import make, read_lines
from support.yaml_pipelines import assets_of, loaded

NOTES = Path(__file__).with_name("notes_server.py")
STAGES = ("mcp_tool_schema", "questions", "train_jsonl")
SILENT = "its server does not say that it only reads"
WRITES = "its server says that it changes things"


def notes(folder: Path) -> ServerConfig:
    return ServerConfig(command=sys.executable, args=[str(NOTES), str(folder / "calls.log")])


def called(folder: Path) -> set[str]:
    log = folder / "calls.log"
    return set(log.read_text().split()) if log.exists() else set()


def build(folder: Path, tools: Mapping[str, Any], **rows: Any) -> dict[str, Artifact]:
    """The data of a pipeline over the notes, made through Dagster by the scripted teacher."""
    attributes = {
        "name": "notes",
        "tools": dict(tools),
        "questions": {"per_tool": 6, "heldout_per_tool": 2},
        "train_jsonl": rows,
    }
    server = notes(folder).model_dump(include={"command", "args"})
    with loaded(attributes, {"mcpServers": {"notes": server}}) as definitions:
        dg.materialize(
            assets_of(definitions),
            instance=dg.DagsterInstance.ephemeral(),
            selection=[dg.AssetKey(["notes", name]) for name in STAGES],
            resources={
                "store": StoreResource(root=str(folder / "store"), cache=str(folder)),
                "mongo": dg.ResourceDefinition.none_resource(),
                "engines": LocalEngines(environments=str(folder), device="cpu", home=str(folder)),
            },
        )
    store = ArtifactStore(str(folder / "store"))
    keys = {name: ArtifactKey("notes", name) for name in STAGES}
    artifacts = {
        name: store.find(key, fingerprint)
        for name, key in keys.items()
        for fingerprint in store.versions(key)
    }
    return {name: artifact for name, artifact in artifacts.items() if artifact is not None}


def test_only_what_reads_is_called_and_the_others_are_named(tmp_path: Path) -> None:
    artifacts = build(tmp_path, {})
    assert called(tmp_path) == {"count_words"}
    snapshot = artifacts["mcp_tool_schema"].manifest
    assert snapshot.summary["tools"] == ["count_words"]
    (check,) = snapshot.checks
    assert not check.passed
    assert f"notes/search_notes: {SILENT}" in check.description
    assert f"notes/send_mail: {WRITES}" in check.description
    rows = read_lines(artifacts["train_jsonl"].path / "train.jsonl")
    assert rows
    assert "purge_all_notes" not in str(rows)


def test_tools_that_are_named_are_called(tmp_path: Path) -> None:
    lists = {"read_only": ["search_notes"], "allow_writing": ["notes/send_mail"]}
    artifacts = build(tmp_path, lists)
    assert called(tmp_path) == {"count_words", "search_notes", "send_mail"}
    assert artifacts["train_jsonl"].manifest.summary["rejected"] == 0


def test_the_lists_of_before_still_count(tmp_path: Path) -> None:
    build(tmp_path, {}, read_only_tools=["search_notes"], allow_writing=["send_mail"])
    assert called(tmp_path) == {"count_words", "search_notes", "send_mail"}


def test_rows_made_without_a_pipeline_call_nothing_else_either(tmp_path: Path) -> None:
    made = make(tmp_path, McpConfig({"notes": notes(tmp_path)}), templates_file=None)
    assert called(tmp_path) == {"count_words"}
    reasons = {reason["reason"] for reject in made.rejects for reason in reject["reasons"]}
    assert reasons == {"writes"}


def test_a_server_that_says_nothing_tells_what_to_write(tmp_path: Path) -> None:
    script = tmp_path / "silent.py"
    source = NOTES.read_text().replace("(annotations=ToolAnnotations(read_only_hint=True))", "")
    script.write_text(source.replace("read_only_hint=False", "title='Mail'"), encoding="utf-8")
    server = ServerConfig(command=sys.executable, args=[str(script), str(tmp_path / "calls.log")])

    async def open_it() -> None:
        config = McpConfig({"silent": server})
        async with open_toolbox(config, permissions=ToolPermissions()):
            pass

    with pytest.raises(ToolServerError, match="None of the tools that the server 'silent'") as info:
        asyncio.run(open_it())
    assert info.value.next_step is not None
    assert "tools: {read_only: [count_words, search_notes]}" in info.value.next_step


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        ([], {"count_words"}),
        (["send_mail"], {"count_words", "send_mail"}),
        ("all", {"count_words", "search_notes", "purge_all_notes", "send_mail"}),
    ],
)
def test_agents_that_answer_have_their_own_choice(
    allowed: object, names: set[str], tmp_path: Path
) -> None:
    config = {"name": "notes", "tools": {"allow_in_serving": allowed}}
    server = notes(tmp_path).model_dump_json(include={"command", "args"})
    (tmp_path / "mcp_config.json").write_text(f'{{"mcpServers": {{"notes": {server}}}}}')
    servers = PipelineSpec(PipelineConfig.model_validate(config), tmp_path).tool_servers

    async def offered(*, serving: bool) -> set[str]:
        async with servers.open(memories=None, log_dir=tmp_path, serving=serving) as toolbox:
            await toolbox.call(ToolCall("purge_all_notes", {"number": 1}, "1"))
            return {tool.name for tool in toolbox.tools}

    assert asyncio.run(offered(serving=False)) == {"count_words"}
    assert called(tmp_path) == set()
    assert asyncio.run(offered(serving=True)) == names
    assert called(tmp_path) == names & {"purge_all_notes"}
