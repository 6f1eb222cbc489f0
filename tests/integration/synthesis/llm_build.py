"""One build of questions and rows by a language model, as a program that can be killed.

Run: python llm_build.py URL FOLDER COUNT
"""

import asyncio
import sys
from pathlib import Path

from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.llm.answer_cache import AnswerCache
from agent_assets.llm.client import LlmClient, LlmEndpoint
from agent_assets.llm.config import LlmConfig
from agent_assets.synthesis.build import make_rows
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from agent_assets.synthesis.questions.llm import Material
from agent_assets.synthesis.questions.questions import ask_llm, make_questions
from agent_assets.synthesis.teachers.journal import Journal
from agent_assets.synthesis.teachers.run import LlmTeaching


async def build(url: str, folder: Path, count: int) -> None:
    """Write questions/ and rows/; what was finished before is not done again."""
    script = Path(__file__).with_name("numbers_server.py")
    server = ServerConfig(command=sys.executable, args=[str(script), str(folder / "calls.log")])
    config = QuestionsConfig(per_tool=count, batch=count, multi_tool=0, unanswerable=3)
    client = LlmClient(
        LlmEndpoint(url, "teacher-1", "none"), LlmConfig(), AnswerCache(folder / "answers")
    )
    for name in ("questions", "rows"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    async with client, open_toolbox(McpConfig({"numbers": server})) as toolbox:
        tools = toolbox.tools
        llm_questions = await ask_llm(
            client, tools=tools, config=config, templates_file=None, material=Material()
        )
        make_questions(
            folder / "questions",
            tools=tools,
            config=config,
            templates_file=None,
            llm_questions=llm_questions,
        )
        await make_rows(
            folder / "rows",
            questions_folder=folder / "questions",
            tools=tools,
            toolbox=toolbox,
            memories_folder=None,
            config=RowsConfig(concurrency=1),
            system_prompt="Use the tools.",
            templates_file=None,
            llm=LlmTeaching(client, Journal(folder / "journal.jsonl")),
        )


if __name__ == "__main__":
    asyncio.run(build(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
