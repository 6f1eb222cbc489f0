"""A stdio MCP server that misbehaves on request, on the wire and without any library: `python
odd_server.py MODE`.
"""

import json
import os
import sys
import time
from typing import Any

MODE = sys.argv[1]
OBJECT = {
    "type": "object",
    "properties": {"text": {"type": "string", "title": "Text", "default": None}},
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "not_object": {"type": "array", "items": {}},
    "missing_ref": {"type": "object", "properties": {"day": {"$ref": "#/$defs/Day"}}},
    "not_a_schema": {"type": "object", "properties": {"n": {"type": "nummer"}}},
}
# One tool that is well, beside tools that are not.
MIXED: list[Any] = [
    {"name": "odd_tool", "description": " Odd. ", "inputSchema": OBJECT},
    {"name": "admin.tools.list", "inputSchema": {"type": "object"}},
    {"name": "not_a_schema", "inputSchema": SCHEMAS["not_a_schema"]},
    {"name": "no_schema", "inputSchema": None},
    # Its title, its results and its other annotations are nothing that a call needs.
    {
        "name": "untidy",
        "title": 7,
        "inputSchema": {"properties": {"n": {"type": "integer"}}},
        "outputSchema": {"type": "array"},
        "annotations": {"readOnlyHint": True, "audience": 7},
    },
    {"inputSchema": {"type": "object"}},
    {"name": "odd_tool", "description": " Odd. ", "inputSchema": OBJECT},
    "surprise",
]
ANSWERS: dict[str, dict[str, Any]] = {
    "structured": {"content": [], "structuredContent": {"b": 1, "a": "中"}},
    "huge": {"content": [{"type": "text", "text": "x" * 1_000_001}]},
    "image": {
        "content": [
            {"type": "text", "text": "a"},
            {"type": "image", "data": "AA==", "mimeType": "image/png"},
        ]
    },
    "audio": {"content": [{"type": "audio", "data": "AA==", "mimeType": "audio/wav"}]},
    "blob": {
        "content": [{"type": "resource", "resource": {"uri": "file:///a.bin", "blob": "AAECAw=="}}]
    },
    "text_resource": {
        "content": [{"type": "resource", "resource": {"uri": "file:///a.txt", "text": "中"}}]
    },
    "link": {"content": [{"type": "resource_link", "uri": "file:///b.txt", "name": "b"}]},
    "control": {"content": [{"type": "text", "text": "a\x00b\x1b[31m"}]},
    "no_result": {"surprise": True},
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    match request["method"]:
        case "initialize":
            version = request["params"]["protocolVersion"]
            info = {"name": "odd", "version": "1"}
            result: dict[str, Any] = {
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": info,
            }
            return {"result": result}
        case "tools/list":
            tool = {
                "name": "odd_tool",
                "description": " Odd. ",
                "inputSchema": SCHEMAS.get(MODE, OBJECT),
            }
            return {"result": {"tools": MIXED if MODE == "mixed" else [tool]}}
        case "tools/call":
            if MODE == "die_in_call":
                print("told in confidence", file=sys.stderr)
                os._exit(3)
            if MODE == "slow_call":
                time.sleep(60)
            if MODE == "refuse":
                return {"error": {"code": -32602, "message": "text is not allowed"}}
            if MODE in {"environment", "mixed"}:
                names = sorted(os.environ) if MODE == "environment" else [request["params"]["name"]]
                return {"result": {"content": [{"type": "text", "text": ",".join(names)}]}}
            if MODE == "chatter":
                print("told in confidence", flush=True)
            return {"result": ANSWERS.get(MODE, {"content": [{"type": "text", "text": "fine"}]})}
        case _:
            return {"error": {"code": -32601, "message": "Method not found"}}


if MODE == "crash_at_start":
    print("no database", file=sys.stderr)
    sys.exit(3)
if MODE == "slow_start":
    time.sleep(60)
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer(message)}), flush=True)
