"""Clients of other people, each through its own package, against the API over real HTTP. No token
was made, so the key is any text. `deploy/test-environments.sh` installs them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.serving_world import World

ROOT = Path(__file__).resolve().parents[3]
CLIENTS = Path(__file__).with_name("clients")
NEWEST = ROOT / ".venvs" / "test-clients" / "bin" / "python"
NODE = ROOT / ".venvs" / "test-clients-node"


def run(world: World, command: list[str], program: str, folder: Path = ROOT) -> dict[str, Any]:
    """What a client printed, given three answers: two texts and a call."""
    assert folder.is_dir() and NEWEST.exists(), "run deploy/test-environments.sh"
    world.model.text("Good day")
    world.model.text("Good day")
    world.model.call("weather", city="Ulm")
    path = CLIENTS / program
    url = str(world.client.base_url.copy_with(path="/v1"))
    at_home = {
        "NO_PROXY": "127.0.0.1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_KEY": "EMPTY",
    }
    done = subprocess.run(
        [*command, url, "ada"],
        input=path.read_text(encoding="utf-8"),
        cwd=folder,
        env=os.environ | at_home,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


def answered(printed: dict[str, Any]) -> None:
    assert printed["text"] == "Good day"
    assert "".join(piece or "" for piece in printed["pieces"]) == "Goodday"  # as scripted
    assert printed["call"] == {"name": "weather", "arguments": {"city": "Ulm"}}
    assert printed["unknown"]["status"] == 404
    assert "no released agent" in printed["unknown"]["message"]


@pytest.mark.parametrize("python", [Path(sys.executable), NEWEST], ids=["pinned", "newest"])
def test_openai(world: World, python: Path) -> None:
    printed = run(world, [str(python), "-"], "openai_client.py")
    answered(printed)
    assert (printed["models"], printed["model"]) == (["ada", "ben"], "ada")
    assert printed["unknown"]["code"] == "model_not_found"
    for route, instead in {"responses": "chat.completions", "embeddings": "another server"}.items():
        assert printed[route]["status"] == 404 and instead in printed[route]["message"]
    asked = world.model.requests[0]
    assert asked["top_k"] == 20 and not asked.keys() & {"seed", "store", "metadata"}
    assert asked["chat_template_kwargs"] == {"enable_thinking": False}


def test_langchain(world: World) -> None:
    answered(run(world, [str(NEWEST), "-"], "langchain_client.py"))
    assert world.model.requests[0]["messages"][0] == {"role": "system", "content": "Be short."}


def test_litellm(world: World) -> None:
    answered(run(world, [str(NEWEST), "-"], "litellm_client.py"))


def test_the_ai_sdk_of_vercel(world: World) -> None:
    printed = run(world, ["node", "--input-type=module", "-"], "ai_sdk_client.mjs", NODE)
    answered(printed)
    assert printed["responses"]["status"] == 404
    assert "chat.completions" in printed["responses"]["message"]
