"""deploy/Containerfile and deploy/compose.yaml, as far as they can be read: linted, closed as they
say, and one with the product. What of them was run: docs/containers.md.
"""

import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from agent_assets.cli.main import commands
from agent_assets.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ENTRYPOINT, HEALTH = DEPLOY / "container-entrypoint.sh", DEPLOY / "container-health.py"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("code", "webserver", "daemon", "api")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(
        list(map(str, command)), env=variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        ["hadolint", "--failure-threshold", "info", DEPLOY / "Containerfile"],
        ["compose-lint", "--fail-on", "high", DEPLOY / "compose.yaml"],
    ],
    ids=["hadolint", "compose-lint"],
)
def test_the_linters_have_nothing_to_say(command: list[str | Path]) -> None:
    done = run(Path(sys.executable).parent / str(command[0]), *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_holds_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith("0") and service["healthcheck"]["test"][0] == "CMD"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert re.search(r":[\w.-]+$", service["image"]) and not service["image"].endswith(":latest")
    # A password is in a file, never in the environment that `inspect` shows.
    secret = re.compile("PASSWORD|URI|URL$|KEY")
    for variable, value in service["environment"].items():
        assert not secret.search(variable) or "://" in value or variable.endswith("_FILE")
        assert "@" not in value
    for variable, value in service["environment"].items():
        if variable.endswith("_FILE"):
            assert Path(value).name in service["secrets"], variable


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_is_a_command_of_ours(name: str) -> None:
    service = SERVICES[name]
    program, command, *_ = service["command"]
    assert program == "agent-assets" and command in commands.commands
    known = {
        str(field.validation_alias) for field in vars(Settings)["__pydantic_fields__"].values()
    }
    files = {variable for variable in service["environment"] if variable.endswith("_FILE")}
    read = re.findall(r"[A-Z_]{5,}", ENTRYPOINT.read_text(encoding="utf-8"))
    assert {variable.removesuffix("_FILE") for variable in files} <= set(read) & known
    assert set(service["environment"]) - files <= known
    trains = name in ("code", "api")
    assert service["image"].endswith(":engine" if trains else ":core")


def test_secrets_are_made_once_and_are_all_there_are(tmp_path: Path) -> None:
    script = tmp_path / "container-secrets.sh"
    script.write_bytes((DEPLOY / script.name).read_bytes())
    for _ in range(2):
        assert run("bash", script).returncode == 0
        texts = {path.name: path.read_text("utf-8") for path in (tmp_path / "secrets").iterdir()}
    named = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert set(texts) == named == set(COMPOSE["secrets"])
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert len(texts["mongo_password"]) == 48 and texts["mongo_password"] in texts["mongodb_uri"]
    assert texts["postgres_password"] in texts["postgres_url"]
    for name in ("mongod", "postgres"):
        assert any(f"@{name}:" in texts[url] for url in ("mongodb_uri", "postgres_url"))


def test_a_program_gets_its_secrets_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "uri"
    secret.write_text("mongodb://u:p$(x)'\"@h/?a=b&c\n", encoding="utf-8")
    done = run(ENTRYPOINT, "env", MONGODB_URI_FILE=str(secret))
    assert "MONGODB_URI=mongodb://u:p$(x)'\"@h/?a=b&c" in done.stdout.splitlines()
    assert "MONGODB_URI_FILE" not in done.stdout
    absent = run(ENTRYPOINT, "env", OPENAI_API_KEY_FILE=str(tmp_path / "absent"))
    assert absent.returncode == 1 and "OPENAI_API_KEY_FILE is" in absent.stderr


def test_a_server_that_asks_for_a_token_is_healthy_and_one_that_fails_is_not() -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path[1:]))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        codes = {
            code: run(sys.executable, HEALTH, "http", f"{url}/{code}").returncode
            for code in (200, 401, 503)
        }
        server.shutdown()
    assert codes == {200: 0, 401: 0, 503: 1}
    gone = run(sys.executable, HEALTH, "socket", "/nowhere/code-server.sock")
    assert gone.returncode == 1 and gone.stderr.startswith("unhealthy: ")


def test_an_image_holds_the_program_and_nothing_else() -> None:
    """What is copied into an image is let through, and no data, keys or history are."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert "*" in lines and {source.split("/")[0] for source in copied} <= allowed
    assert "deploy/secrets" in lines
    for line in text.splitlines():
        if "pip install" in line:
            assert "--require-hashes" in line or "--no-index" in line, line
