"""A server of odd tools, and builds with a language model in front of it."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.conversations.formats import from_swift
from agent_assets.conversations.messages import Conversation, JsonObject
from agent_assets.llm.answer_cache import AnswerCache
from agent_assets.llm.client import LlmClient, LlmEndpoint
from agent_assets.llm.config import LlmConfig
from agent_assets.synthesis.build import make_rows
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from agent_assets.synthesis.questions.llm import LlmQuestions, Material
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.questions.questions import ask_llm, make_questions
from agent_assets.synthesis.teachers.journal import Journal
from agent_assets.synthesis.teachers.run import LlmTeaching
from support.fake_openai import FakeOpenAI, Reply
from support.synthesis_runs import DEFS, read_lines

ODD = Path(__file__).with_name("odd_results_server.py")


WORDINGS = DEFS / "elder_companion" / "wordings.yaml"


class Made:
    """What a build left: rows, rejects by question, coverage."""

    def __init__(self, folder: Path, summary: JsonObject) -> None:
        self.summary = summary
        self.rows = read_lines(folder / "train.jsonl")
        self.conversations: list[Conversation] = [
            from_swift(row) for row in self.rows if row["kind"] != "general"
        ]
        self.reasons = {
            row["messages"][0]["content"]: [reason["reason"] for reason in row["reasons"]]
            for row in read_lines(folder / "rejects.jsonl")
        }
        self.items = read_lines(folder / "heldout.jsonl")

    def text(self) -> str:
        return json.dumps(self.rows, ensure_ascii=False)


def build(
    server: FakeOpenAI,
    folder: Path,
    tools: McpConfig,
    questions: list[Question] | None = None,
    *,
    memories: Path | None = None,
    asked: dict[str, Any] | None = None,
    questionnaire: tuple[str, ...] = (),
    **rows: Any,
) -> Made:
    """Rows from given questions, or from those that the model asks."""
    for name in ("questions", "rows"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    templates_file = WORDINGS if memories else None
    config = QuestionsConfig.model_validate(asked or {})

    async def run() -> JsonObject:
        client = LlmClient(
            LlmEndpoint(server.url, "teacher-1", "k"),
            LlmConfig(give_up_s=1),
            AnswerCache(folder / "a"),
        )
        async with client, open_toolbox(tools) as toolbox:
            found = LlmQuestions(questions or [])
            if questions is None:
                found = await ask_llm(
                    client,
                    tools=toolbox.tools,
                    config=config,
                    templates_file=templates_file,
                    material=Material(),
                )
            make_questions(
                folder / "questions",
                tools=toolbox.tools,
                config=config,
                templates_file=templates_file,
                llm_questions=found,
                questionnaire=questionnaire,
            )
            return await make_rows(
                folder / "rows",
                questions_folder=folder / "questions",
                tools=toolbox.tools,
                toolbox=toolbox,
                memories_folder=memories,
                config=RowsConfig.model_validate({"max_turns": 3, **rows}),
                system_prompt=None,
                templates_file=templates_file,
                llm=LlmTeaching(client, Journal(folder / "journal.jsonl")),
            )

    return Made(folder / "rows", asyncio.run(run()))


def odd(folder: Path) -> McpConfig:
    folder.mkdir(parents=True, exist_ok=True)
    return McpConfig(
        {"odd": ServerConfig(command=sys.executable, args=[str(ODD), str(folder / "calls")])}
    )


def question(text: str, tool: str = "report") -> Question:
    return Question(text, text, "en", (tool,), "train", "llm.en", True)


def script(steps: dict[str, list[Reply]]) -> Callable[[dict[str, Any]], Reply]:
    """Replies by question and turn."""

    def reply(request: dict[str, Any]) -> Reply:
        spoken = [message for message in request["messages"] if message["role"] != "system"]
        turn: int = sum(message["role"] == "assistant" for message in spoken)
        replies = steps[spoken[0]["content"]]
        return replies[turn]

    return reply
