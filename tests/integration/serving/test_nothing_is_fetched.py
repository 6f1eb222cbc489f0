"""What a caller names by a URL is never fetched from this machine, and parts of a message that are
no text never reach the model server.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from support.local_http import CountingServer
from support.serving_world import World, openai_error, problem

CHAT = "/v1/chat/completions"


@pytest.fixture
def bait() -> Iterator[CountingServer]:
    """A server that counts who asks it."""
    with CountingServer().running() as server:
        yield server


def parts(url: str) -> list[dict[str, Any]]:
    """Parts of messages as OpenAI, vLLM, Anthropic and Gemini know them."""
    return [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "input_image", "image_url": url},
        {"type": "image", "source": {"type": "url", "url": url}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "audio_url", "audio_url": {"url": url}},
        {"type": "video_url", "video_url": {"url": url}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "input_file", "file_url": url},
        {"type": "document", "source": {"type": "url", "url": url}},
        {"type": "prompt_embeds", "data": "AAAA"},
        {"type": "image_embeds", "image_embeds": "AAAA"},
        {"image_url": url},
        {"image_url": url, "uuid": "1"},
        {"fileData": {"fileUri": url}},
        {"type": ["text"], "text": url},
        {"type": "text", "text": {"url": url}},
        {"type": "text"},
    ]


@pytest.mark.parametrize("role", ["user", "system", "developer", "assistant", "tool"])
def test_parts_that_are_no_text_are_refused(world: World, bait: CountingServer, role: str) -> None:
    for part in parts(bait.url):
        message = {"role": role, "content": [{"type": "text", "text": "See this."}, part]}
        reply = world.client.post(CHAT, json={"model": "ada", "messages": [message]})
        error = openai_error(reply, 400)
        assert error["param"] == "messages.0.content", part
        assert "text" in error["message"] and bait.url not in error["message"], part
    assert world.model.requests == [] and bait.hits == 0


def test_of_text_parts_the_text_alone_is_passed_on(world: World, bait: CountingServer) -> None:
    content = [
        {"type": "text", "text": "One.", "image_url": bait.url, "uuid": "1"},
        {"type": "input_text", "text": f"Look at {bait.url}", "cache_control": {"type": "x"}},
        {"type": "refusal", "refusal": "No."},
    ]
    messages = [{"role": "user", "content": content}]
    reply = world.client.post(CHAT, json={"model": "ada", "messages": messages})
    assert reply.status_code == 200, reply.text
    assert world.model.requests[-1]["messages"][-1]["content"] == [
        {"type": "text", "text": "One."},
        {"type": "text", "text": f"Look at {bait.url}"},
        {"type": "text", "text": "No."},
    ]
    assert bait.hits == 0


def test_chat_takes_text_and_reads_no_address_in_it(world: World, bait: CountingServer) -> None:
    picture = [{"type": "image_url", "image_url": {"url": bait.url}}]
    body = {"elder_id": "ada", "message": picture}
    problem(world.client.post("/chat", json=body), 422)
    history = [{"role": "user", "content": picture}]
    problem(world.chat("Hello", conversation_history=history), 422)
    markdown = f"![picture]({bait.url}) <img src='{bait.url}'> {bait.url}"
    assert world.chat(markdown).status_code == 200
    assert bait.hits == 0
