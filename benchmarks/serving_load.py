"""Clients for `serving.py`: completions and chats, many at a time, with what came back."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

TOPICS = ["childhood", "work", "family", "music", "winter", "market", "school", "river", "harvest", "travel"]


@dataclass(frozen=True)
class Reply:
    """One completion. `trace` is the first answer tokens with their log probabilities: a fingerprint of the model."""

    model: str
    tokens: int
    trace: tuple[tuple[str, float], ...]


def completion(model: str, number: int, tokens: int, **more: Any) -> dict[str, Any]:
    """The body of a request that no prefix cache has seen in full."""
    topic = TOPICS[number % len(TOPICS)]
    content = f"Story {number}: tell me a long story about {topic}, and what you remember of the people in it."
    return {
        "model": model, "messages": [{"role": "user", "content": content}], "max_tokens": tokens, "temperature": 0,
        **more,
    }  # fmt: skip


def fingerprint_request(model: str) -> dict[str, Any]:
    """The same question for everyone."""
    messages = [{"role": "user", "content": "Who are you, and what do you remember?"}]
    return {"model": model, "messages": messages, "max_tokens": 8, "temperature": 0, "logprobs": True}


async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> Reply:
    """One completion; anything but an answer is an error."""
    response = await client.post("/v1/chat/completions", json=body)
    response.raise_for_status()
    content = response.json()
    found = (content["choices"][0].get("logprobs") or {}).get("content") or ()
    trace = tuple((token["token"], token["logprob"]) for token in found)
    return Reply(body["model"], content["usage"]["completion_tokens"], trace)


async def rate(
    client: httpx.AsyncClient, bodies: Sequence[dict[str, Any]], concurrency: int
) -> tuple[float, list[Reply]]:
    """Answer tokens a second over all requests, some at a time; and the replies."""
    gate = asyncio.Semaphore(concurrency)

    async def one(body: dict[str, Any]) -> Reply:
        async with gate:
            return await ask(client, body)

    started = time.perf_counter()
    replies = list(await asyncio.gather(*(one(body) for body in bodies)))
    return sum(reply.tokens for reply in replies) / (time.perf_counter() - started), replies


def nearest(trace: Sequence[tuple[str, float]], known: dict[str, tuple[tuple[str, float], ...]]) -> str:
    """Whose fingerprint a reply bears: rounding differs from batch to batch, adapters differ more."""
    return min(known, key=lambda name: _distance(trace, known[name]))


def _distance(one: Sequence[tuple[str, float]], two: Sequence[tuple[str, float]]) -> float:
    """Mean difference of the log probabilities up to the first other token; another first token is far away."""
    gaps = []
    for (token, value), (other, expected) in zip(one, two, strict=False):
        if token != other:
            break
        gaps.append(abs(value - expected))
    return sum(gaps) / len(gaps) + (8 - len(gaps)) if gaps else 100.0


async def chat(clients: Sequence[httpx.AsyncClient], elders: Sequence[str], seconds: float) -> dict[str, Any]:
    """Every client asks its elder again and again until the time is over."""
    taken: list[float] = []
    failed, lost = [0], [0]
    end = time.monotonic() + seconds

    async def one(number: int) -> None:
        asked = 0
        while time.monotonic() < end:
            message = f"What did you do in {1950 + (number + asked) % 20}, and who was with you?"
            asked += 1
            started = time.perf_counter()
            try:
                response = await clients[number].post("/chat", json={"elder_id": elders[number], "message": message})
            except httpx.TransportError:
                lost[0] += 1
                continue
            if response.status_code >= 500:
                failed[0] += 1
                print(response.text)
            else:
                response.raise_for_status()
                taken.append(1000 * (time.perf_counter() - started))

    await asyncio.gather(*(one(number) for number in range(len(clients))))
    taken.sort()
    return {
        "chat_answers": len(taken),
        "chat_p50_ms": round(taken[len(taken) // 2]),
        "chat_p99_ms": round(taken[min(len(taken) - 1, int(0.99 * len(taken)))]),
        "chat_5xx": failed[0],
        "chat_lost": lost[0],
    }
