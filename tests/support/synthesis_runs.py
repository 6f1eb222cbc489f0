"""Questions and rows made on real MCP servers, as the stages make them."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_assets.agent.loop import ChatModel
from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.toolbox import load_mcp_config, open_toolbox
from agent_assets.conversations.formats import from_swift
from agent_assets.conversations.items import EvalItem, read_items
from agent_assets.conversations.memories import ElderProfile, Memory, write_memories
from agent_assets.conversations.messages import Conversation, JsonObject, ToolSchema
from agent_assets.conversations.validation import validate_conversation
from agent_assets.synthesis.build import make_rows
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from agent_assets.synthesis.questions.chained import chained_values
from agent_assets.synthesis.questions.questions import make_questions

DEFS = Path(__file__).resolve().parents[2] / "agent_assets" / "defs"
SMALL = {"per_tool": 12, "per_tool_without_arguments": 6, "heldout_per_tool": 4}


@dataclass(frozen=True)
class Made:
    """What a run wrote, read back."""

    folder: Path
    summary: JsonObject
    tools: list[ToolSchema]
    rows: list[JsonObject]
    items: list[EvalItem]
    rejects: list[JsonObject]
    coverage: JsonObject


def pipeline_config(pipeline: str, memories: Path | None = None) -> McpConfig:
    """The servers of a shipped pipeline."""
    variables = {"python": sys.executable, "memories": str(memories or "-")}
    return load_mcp_config(DEFS / pipeline / "mcp_config.json", variables)


def script_config(path: Path) -> McpConfig:
    """One server that is a Python file."""
    return McpConfig({path.stem: ServerConfig(command=sys.executable, args=[str(path)])})


def make(
    folder: Path,
    servers: McpConfig,
    *,
    templates_file: Path | None,
    memories: Path | None = None,
    questions: dict[str, Any] | None = None,
    rows: dict[str, Any] | None = None,
    teacher: ChatModel | None = None,
    sources: Sequence[Path] = (),
) -> Made:
    """Questions and rows in `folder`."""
    questions_folder, rows_folder = folder / "questions", folder / "rows"
    questions_folder.mkdir(parents=True)
    rows_folder.mkdir()

    async def run() -> tuple[JsonObject, list[ToolSchema]]:
        async with open_toolbox(servers) as toolbox:
            config = QuestionsConfig.model_validate({**SMALL, **(questions or {})})
            make_questions(
                questions_folder,
                tools=toolbox.tools,
                config=config,
                templates_file=templates_file,
                chained=await chained_values(templates_file, toolbox.tools, toolbox),
            )
            summary = await make_rows(
                rows_folder,
                questions_folder=questions_folder,
                tools=toolbox.tools,
                toolbox=toolbox,
                memories_folder=memories,
                config=RowsConfig.model_validate(rows or {}),
                system_prompt=None if memories else "Use the tools.",
                templates_file=templates_file,
                teacher=teacher,
                sources=sources,
            )
            return summary, toolbox.tools

    summary, tools = asyncio.run(run())
    coverage = json.loads((rows_folder / "coverage.json").read_text("utf-8"))
    return Made(
        rows_folder,
        summary,
        tools,
        read_lines(rows_folder / "train.jsonl"),
        read_items(rows_folder / "heldout.jsonl"),
        read_lines(rows_folder / "rejects.jsonl"),
        coverage,
    )


def elder_folder(folder: Path, profile: ElderProfile, memories: list[Memory]) -> Path:
    """An elder_memories artifact."""
    folder.mkdir(parents=True)
    write_memories(folder, profile, memories)
    return folder


def conversations(rows: Made) -> list[Conversation]:
    """Every training row, read back and valid."""
    parsed = [from_swift(row) for row in rows.rows]
    assert parsed
    for conversation in parsed:
        assert validate_conversation(conversation, max_chars=100_000) == []
    return parsed


def read_lines(path: Path) -> list[JsonObject]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
