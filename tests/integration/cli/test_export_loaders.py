"""Exported rows are what LLaMA-Factory, TRL and axolotl load: each by its own code, which
`deploy/test-environments.sh` installs.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent_assets.cli.export import CONVERTERS
from agent_assets.conversations.messages import (
    Conversation,
    JsonObject,
    Message,
    ToolCall,
    ToolSchema,
    canonical_json,
)
from agent_assets.engines.environment import EngineEnv, engine_environment

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[3]
LOADERS = ROOT / ".venvs" / "test-loaders"


def schema(name: str, **properties: JsonObject) -> ToolSchema:
    return ToolSchema(name, f"查 {name}", {"type": "object", "properties": properties})


# As different as tools of one server are: a loader must not make one of them look like another.
TOOLS = (
    schema("date"),
    schema("price", region={"type": "string"}, day={"type": ["string", "null"], "default": None}),
    schema("pick", which={"type": "integer", "enum": [1, 2], "default": 1}),
)
CONVERSATIONS = [
    Conversation(
        (
            Message("system", "你是一个专家"),
            Message("user", "今天成都的价格？"),
            Message("assistant", "", (ToolCall("date", {}, "a"),)),
            Message("tool", "2025-04-22", tool_call_id="a"),
            Message(
                "assistant",
                "Two more look-ups.",
                (
                    ToolCall("price", {"region": "成都", "day": None}, "b"),
                    ToolCall("pick", {"which": 2}, "c"),
                ),
            ),
            Message("tool", '[{"price": 4981.1}]', tool_call_id="b"),
            Message("tool", "second", tool_call_id="c"),
            Message("assistant", "价格是 4981.1。"),
            Message("user", "Thanks"),
            Message("assistant", "You are welcome."),
        ),
        TOOLS,
    ),
    Conversation((Message("user", "Who are you?"), Message("assistant", "Ada <m1>."))),
    Conversation(
        (
            Message("system", "Be short."),
            Message("user", "Price?"),
            Message("assistant", "", (ToolCall("price", {"region": "<b>"}, "a"),)),
            Message("tool", "7", tool_call_id="a"),
            Message("assistant", "7."),
        ),
        TOOLS[1:2],
    ),
]

# As LLaMA-Factory's template for Qwen writes tools, and as the template of the model does.
SCHEMAS = [json.dumps(tool.parameters, ensure_ascii=False, sort_keys=True) for tool in TOOLS]
SHORT = [
    "date(): 查 date",
    'price(day?: {"type": ["string", "null"]}, region?)',
    "pick(which?: 1|2 = 1)",
]
SIGNATURES = {"llamafactory": SCHEMAS, "trl": SHORT, "axolotl": SHORT}


@pytest.fixture(scope="module")
def texts(
    tiny_model: Path, engine_env: EngineEnv, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """The text of every row, by loader."""
    assert LOADERS.is_dir(), "run deploy/test-environments.sh"
    folder = tmp_path_factory.mktemp("exported")
    files = {form: folder / f"{form}.jsonl" for form in ("sharegpt", "openai")}
    for form, path in files.items():
        rows = [canonical_json(CONVERTERS[form](conversation)) for conversation in CONVERSATIONS]
        path.write_text("\n".join(rows), encoding="utf-8")
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "AXOLOTL_DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [
            str(engine_env.python),
            str(Path(__file__).with_name("read_exported_rows.py")),
            str(tiny_model),
            *map(str, files.values()),
        ],
        env=engine_environment({}) | offline | {"PYTHONPATH": str(LOADERS)},
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    read: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return read


@pytest.mark.parametrize("loader", ["llamafactory", "trl", "axolotl"])
def test_a_loader_reads_every_row_whole(texts: dict[str, list[str]], loader: str) -> None:
    tools, plain, short = texts[loader]
    parts = [
        "你是一个专家",
        "今天成都的价格？",
        '{"name": "date", "arguments": {}}',
        "2025-04-22",
        "Two more look-ups.",
        '{"name": "price", "arguments": {"region": "成都", "day": null}}',
        '{"name": "pick", "arguments": {"which": 2}}',
        '[{"price": 4981.1}]',
        "second",
        "价格是 4981.1。",
        "Thanks",
        "You are welcome.",
    ]
    places = [tools.find(part) for part in parts]
    assert places == sorted(places) and min(places) >= 0, tools
    assert "Ada <m1>." in plain and "Who are you?" in plain
    assert '{"region": "<b>"}' in short
    assert all(signature in tools for signature in SIGNATURES[loader])
    assert "pick" not in short
