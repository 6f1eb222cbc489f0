"""Clients for `serving.py`: completions and chats, many at a time, with what came back."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

# " the" or whatever a vocabulary has there: log probabilities are those before the bias
_ANSWER_TOKEN = "260"
TOPICS = [
    "childhood",
    "work",
    "family",
    "music",
    "winter",
    "market",
    "school",
    "river",
    "harvest",
    "travel",
]


Trace = tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Reply:
    """One completion. `trace`: for each answer token the log probabilities of the likeliest ones,
    if asked for.
    """

    model: str
    tokens: int
    trace: Trace


def completion(model: str, number: int, tokens: int, **more: Any) -> dict[str, Any]:
    """The body of a request that no prefix cache has seen in full."""
    topic = TOPICS[number % len(TOPICS)]
    content = (
        f"Story {number}: tell me a long story about {topic}, and what you remember of "
        "the "
        "people in it."
    )
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": tokens,
        "temperature": 0,
        **more,
    }


def fingerprint_request(model: str, tokens: int) -> dict[str, Any]:
    """The same question for everyone, and the same answer: one token again and again, however
    unlikely.

    Rounding differs from batch to batch, and a free answer that takes another token once goes on to
    say other things. Here every token follows the same text, and its log probabilities can be
    compared with anybody's.
    """
    messages = [{"role": "user", "content": "Who are you, and what do you remember?"}]
    return {
        "model": model,
        "messages": messages,
        "max_tokens": tokens,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 5,
        "logit_bias": {_ANSWER_TOKEN: 100},
    }


async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> Reply:
    """One completion; anything but an answer is an error."""
    response = await client.post("/v1/chat/completions", json=body)
    response.raise_for_status()
    content = response.json()
    tokens = (content["choices"][0].get("logprobs") or {}).get("content") or ()
    trace = tuple(
        {candidate["token"]: candidate["logprob"] for candidate in [*token["top_logprobs"], token]}
        for token in tokens
    )
    return Reply(body["model"], content["usage"]["completion_tokens"], trace)


async def rate(
    client: httpx.AsyncClient, bodies: Sequence[dict[str, Any]], concurrency: int
) -> tuple[float, list[Reply]]:
    """Answer tokens a second over all requests, some at a time; and the replies."""
    gate = asyncio.Semaphore(concurrency)

    async def request(body: dict[str, Any]) -> Reply:
        async with gate:
            return await ask(client, body)

    started = time.perf_counter()
    replies = list(await asyncio.gather(*(request(body) for body in bodies)))
    return sum(reply.tokens for reply in replies) / (time.perf_counter() - started), replies


def wrong_adapters(replies: Sequence[Reply], known: dict[str, Trace]) -> tuple[int, float]:
    """How many replies are nearer to somebody else's fingerprint than to their own; and the
    smallest margin.

    The margin of a reply is its distance to the nearest other fingerprint by that to its own: below
    1 it is wrong.
    """
    margins = []
    for reply in replies:
        distances = {name: _distance(reply.trace, trace) for name, trace in known.items()}
        own = distances.pop(reply.model)
        margins.append(min(distances.values()) / max(own, 1e-9))
    return sum(margin <= 1 for margin in margins), min(margins)


def _distance(first: Trace, two: Trace) -> float:
    """Mean difference of the log probabilities that both name."""
    gaps = [
        abs(a[token] - b[token])
        for a, b in zip(first, two, strict=False)
        for token in a.keys() & b.keys()
    ]
    return sum(gaps) / len(gaps)


async def chat(
    clients: Sequence[httpx.AsyncClient], elders: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Every client asks its elder again and again until the time is over."""
    taken: list[float] = []
    failed, lost = [0], [0]
    end = time.monotonic() + seconds

    async def talk(number: int) -> None:
        turns = 0
        while time.monotonic() < end:
            message = f"What did you do in {1950 + (number + turns) % 20}, and who was with you?"
            turns += 1
            started = time.perf_counter()
            try:
                response = await clients[number].post(
                    "/chat", json={"elder_id": elders[number], "message": message}
                )
            except httpx.TransportError:
                lost[0] += 1
                continue
            if response.status_code >= 500:
                failed[0] += 1
                print(response.text)
            else:
                response.raise_for_status()
                taken.append(1000 * (time.perf_counter() - started))

    await asyncio.gather(*(talk(number) for number in range(len(clients))))
    taken.sort()
    return {
        "chat_answers": len(taken),
        "chat_p50_ms": round(taken[len(taken) // 2]),
        "chat_p99_ms": round(taken[min(len(taken) - 1, int(0.99 * len(taken)))]),
        "chat_5xx": failed[0],
        "chat_lost": lost[0],
    }
