"""An inference server without a model: `python -m tests.support.programs.echo_server PORT NAME
FOLDER`.

It speaks the OpenAI API, answers every conversation with the content of `answer.txt` in the folder
of the model or adapter that is asked, and takes adapters at routes of its own: PUT and DELETE of
/adapters/NAME.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDERS: dict[str, Path] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply(
            200, {"object": "list", "data": [{"id": name, "object": "model"} for name in FOLDERS]}
        )

    def do_PUT(self) -> None:
        FOLDERS[self.path.rpartition("/")[2]] = Path(self.body())
        self.reply(200, {})

    def do_DELETE(self) -> None:
        known = FOLDERS.pop(self.path.rpartition("/")[2], None)
        self.reply(200 if known else 404, {})

    def do_POST(self) -> None:
        request = json.loads(self.body())
        folder = FOLDERS.get(request["model"])
        if folder is None:
            self.reply(404, {"error": {"message": "no such model"}})
            return
        message = {
            "role": "assistant",
            "content": (folder / "answer.txt").read_text(encoding="utf-8"),
        }
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        fields = {"id": "x", "object": "chat.completion", "created": 0, "model": request["model"]}
        self.reply(200, {**fields, "choices": [choice], "usage": usage})

    def body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    def reply(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    FOLDERS[sys.argv[2]] = Path(sys.argv[3])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
