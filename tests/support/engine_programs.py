"""Rows of every shape, and functions of `program_runs` in the engine environment."""

import json
import subprocess
from pathlib import Path
from typing import Any, Self

from agent_assets.conversations.messages import Conversation, Message, ToolCall, ToolSchema
from agent_assets.engines.environment import EngineEnv, engine_environment

PRICE = ToolSchema(
    "get_price",
    "Price of a province.",
    {
        "type": "object",
        "properties": {
            "province": {"type": "string", "enum": ["四川", "湖北"]},
            "days": {"type": "array", "items": {"type": "string"}, "description": "ISO days"},
            "unit": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "near": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
        },
        "required": ["province", "days"],
        "$defs": {
            "Place": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
        },
    },
)


NOW = ToolSchema("get_time", 'The time, "now".', {"type": "object", "properties": {}})


class Programs:
    """Functions of program_runs.py in the engine environment, each call in a process of its own.

    The processes are forks of one that has imported the libraries: that takes longer than all the
    work here.
    """

    def __init__(self, env: EngineEnv, log: Path) -> None:
        self.log = log
        program = Path(__file__).with_name("program_runs.py")
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(env.python), str(program)],
                env=engine_environment({}),
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)

    def __call__(self, folder: Path, function: str, *arguments: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        answer = folder / "answer.json"
        answer.unlink(missing_ok=True)
        self.process.stdin.write(json.dumps([function, arguments, str(answer)]) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "0\n", self.log.read_text(
            encoding="utf-8", errors="replace"
        )[-4000:]
        return json.loads(answer.read_text(encoding="utf-8"))


def conversations() -> list[Conversation]:
    """Every shape a row can have."""
    system = Message("system", "You are an expert. 你是专家。")
    no_argument = [
        Message("user", "What time is it?"),
        Message("assistant", tool_calls=(ToolCall("get_time", {}, "call_1"),)),
        Message("tool", "10:00:00", tool_call_id="call_1"),
        Message("assistant", "It is ten o'clock."),
    ]
    said_first = [
        Message("user", "四川和湖北的价格？"),
        Message(
            "assistant",
            "我来查一下。",
            (
                ToolCall(
                    "get_price",
                    {"province": "四川", "days": ["2025-04-01"], "near": {"x": 1.5}},
                    "call_1",
                ),
                ToolCall("get_price", {"province": "湖北", "days": [], "unit": None}, "call_2"),
            ),
        ),
        Message("tool", '{"2025-04-01":3.12}', tool_call_id="call_1"),
        Message("tool", "[]", tool_call_id="call_2"),
        Message("assistant", "四川 3.12 元，\n湖北没有价格。"),
    ]
    two_steps = [
        *no_argument[:3],
        Message(
            "assistant",
            "Now the price.\n",
            (ToolCall("get_price", {"days": ["a"], "province": "四川"}, "call_2"),),
        ),
        Message("tool", "{}", tool_call_id="call_2"),
        Message("assistant", "Done."),
    ]
    plain = [Message("user", "Hello"), Message("assistant", "Hello.")]
    tools = (NOW, PRICE)
    shapes = [
        [system, *no_argument],
        [system, *said_first],
        two_steps,
        [system, *no_argument, *said_first, *plain],
        plain,
    ]
    return [Conversation(tuple(shape), tools) for shape in shapes] + [
        Conversation((system, *plain)),
        Conversation(tuple(plain)),
    ]
