"""An MCP server that writes its answers by hand, byte for byte: `python raw_server.py MODE`.

Each tool answers in one odd way; `good` answers as it should. A tool named `..._with_schema` has
an outputSchema. The mode is `stdio`, or one that prints its port: `json` and `events` (streamable
HTTP whose answers are a JSON body or an event) and `sse` (the older transport of two requests).
"""

import json
import queue
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODE = sys.argv[1]
answers: "queue.Queue[bytes]" = queue.Queue()

SCHEMA = {
    "type": "object",
    "properties": {"degrees": {"type": "number"}},
    "required": ["degrees"],
}
RESULTS: dict[str, object] = {
    "good": {"content": [{"type": "text", "text": "fine"}]},
    "good_with_schema": {
        "content": [{"type": "text", "text": "4 degrees"}],
        "structuredContent": {"degrees": 4},
    },
    "missing_field_with_schema": {"content": [], "structuredContent": {"rain": True}},
    "wrong_type_with_schema": {"content": [], "structuredContent": {"degrees": "cold"}},
    "text_only_with_schema": {"content": [{"type": "text", "text": "4 degrees"}]},
    "error_with_schema": {"content": [{"type": "text", "text": "no sensor"}], "isError": True},
    "structured_only": {"structuredContent": {"degrees": 4}},
    "structured_and_empty": {"content": [], "structuredContent": {"degrees": 4}},
    "nan": {"content": [], "structuredContent": {"rows": [{"price": float("nan")}]}},
    "infinity": {"content": [], "structuredContent": {"price": float("inf")}},
    "unknown_block": {"content": [{"type": "video", "data": "AA=="}]},
    "null_text": {"content": [{"type": "text", "text": None}]},
    "asks_back": {"resultType": "input_required", "inputRequests": {}},
    "task": {"resultType": "task", "task": {"taskId": "1", "status": "working"}, "content": []},
    "null_result": None,
    "list_result": [],
    "text_result": "fine",
}
HEAD = b'{"jsonrpc":"2.0","id":%d,"result":'
TEXT = HEAD + b'{"content":[{"type":"text","text":"'
# What is written instead of the line with the answer; %d is the id of the request.
LINES: dict[str, bytes] = {
    "half_surrogate": TEXT + b'\\ud83d"}]}}',
    "not_utf8": TEXT + b'caf\xe9"}]}}',
    "not_utf8_key": HEAD + b'{"content":[],"structuredContent":{"\xff":1}}}',
    "cut": TEXT + b"fi",
    "cut_without_id": b'{"jsonrpc":"2.0","result":{"content":[{"type":"text","text":"fi',
    "control": TEXT + b'a\x01b"}]}}',
    "single_quotes": b"{'jsonrpc': '2.0', 'id': %d, 'result': {'content': []}}",
    "no_version": b'{"id":%d,"result":{"content":[]}}',
    "batch": b'[{"jsonrpc":"2.0","id":%d,"result":{"content":[]}}]',
    "glued": b'{"jsonrpc":"2.0","id":%d,"result":{"content":[]}}{"level":"info"}',
    "float_id": b'{"jsonrpc":"2.0","id":%d.5,"result":{"content":[]}}',
    "no_id_error": b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}',
    "deep": HEAD + b'{"structuredContent":' + b'{"a":' * 400 + b"1" + b"}" * 402,
    "long_number": HEAD + b'{"structuredContent":{"a":' + b"1" * 9000 + b"}}}",
    "error_text": b'{"jsonrpc":"2.0","id":%d,"error":"boom"}',
}
PRINTS = b'hello\n{"level":"info","id":%d,"msg":"told"}\n\xff\xfe\n[1, 2]\n\n'


def answer(request: dict[str, Any]) -> bytes:
    result: object
    match request["method"]:
        case "initialize":
            result = {
                "protocolVersion": request["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "raw", "version": "1"},
            }
        case "tools/list":
            result = {"tools": [tool(name) for name in [*RESULTS, *LINES, "prints", "never"]]}
        case "tools/call":
            return called(request["id"], request["params"]["name"])
        case _:
            error = {"code": -32601, "message": "Method not found"}
            return line({"jsonrpc": "2.0", "id": request["id"], "error": error})
    return line({"jsonrpc": "2.0", "id": request["id"], "result": result})


def tool(name: str) -> dict[str, Any]:
    schema = {"outputSchema": SCHEMA} if name.endswith("_with_schema") else {}
    annotations = {"readOnlyHint": True}
    return {
        "name": name,
        "description": f"Answers {name}.",
        "inputSchema": {"type": "object", "properties": {}},
        "annotations": annotations,
        **schema,
    }


def called(request: int, name: str) -> bytes:
    if name == "never":
        return b""
    if name == "prints":
        fine = line({"jsonrpc": "2.0", "id": request, "result": RESULTS["good"]})
        return PRINTS % request + fine
    if name in LINES:
        raw = LINES[name]
        return (raw % request if b"%d" in raw else raw) + b"\n"
    return line({"jsonrpc": "2.0", "id": request, "result": RESULTS[name]})


def line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if MODE != "sse":
            self.body(405, "text/plain", b"")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"event: endpoint\ndata: /messages\n\n")
        while True:
            self.wfile.write(event(answers.get()))
            self.wfile.flush()

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = answer(message) if "id" in message else b""
        if MODE == "sse":
            answers.put(content)
            self.body(202, "text/plain", b"")
        elif not content:
            self.body(202, "text/plain", b"")
        elif MODE == "json":
            self.body(200, "application/json", content.strip())
        else:
            self.body(200, "text/event-stream", event(content))

    def do_DELETE(self) -> None:
        self.body(200, "text/plain", b"")

    def body(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def event(answer: bytes) -> bytes:
    return b"".join(b"event: message\ndata: " + text + b"\n\n" for text in answer.split(b"\n")[:-1])


def over_stdio() -> None:
    for text in sys.stdin:
        message = json.loads(text)
        if "id" in message:
            sys.stdout.buffer.write(answer(message))
            sys.stdout.buffer.flush()


def over_http() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    over_stdio() if MODE == "stdio" else over_http()
