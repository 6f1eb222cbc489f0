"""What `attacks.py` does to the API: bounded numbers of sockets and requests, from other addresses
of loopback.
"""

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx

HOST = "127.0.0.1"
Attack = Callable[[int, float], Awaitable[None]]  # the port, and when it ends


async def _connected(
    port: int, source: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    try:
        return await asyncio.open_connection(HOST, port, local_addr=(source, 0), limit=4096)
    except OSError:
        return None


async def slowloris(port: int, end: float) -> None:
    """400 connections, a byte a second each."""

    async def dribble() -> None:
        while time.monotonic() < end:
            if (connection := await _connected(port, "127.0.0.2")) is None:
                await asyncio.sleep(1)
                continue
            _, writer = connection
            with suppress(OSError):
                writer.write(b"GET /models HTTP/1.1\r\nHost: localhost\r\nX-A: ")
                while time.monotonic() < end and not writer.is_closing():
                    writer.write(b"b")
                    await writer.drain()
                    await asyncio.sleep(1)
            writer.close()

    await asyncio.gather(*(dribble() for _ in range(400)))


async def slow_read(port: int, end: float) -> None:
    """60 connections that never read."""

    async def ask() -> None:
        while time.monotonic() < end:
            if (connection := await _connected(port, "127.0.0.3")) is None:
                await asyncio.sleep(1)
                continue
            _, writer = connection
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            with suppress(OSError):
                while time.monotonic() < end and not writer.is_closing():
                    writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    await asyncio.wait_for(writer.drain(), 5)
                    await asyncio.sleep(0.5)
            writer.close()

    await asyncio.gather(*(ask() for _ in range(60)))


async def header_flood(port: int, end: float) -> None:
    """Headers without end."""
    header = b"X-Filler: " + b"x" * 1000 + b"\r\n"

    async def flood(number: int) -> None:
        await asyncio.sleep(number / 20)
        while time.monotonic() < end:
            if (connection := await _connected(port, "127.0.0.4")) is not None:
                _, writer = connection
                with suppress(OSError):
                    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
                    for _ in range(1000):
                        writer.write(header)
                        await writer.drain()
                writer.close()
            await asyncio.sleep(2)

    await asyncio.gather(*(flood(number) for number in range(40)))


async def connection_flood(port: int, end: float) -> None:
    """200 connections a second, left alone."""
    left: list[asyncio.StreamWriter] = []
    for number in itertools.count():
        if time.monotonic() > end:
            break
        if (connection := await _connected(port, f"127.0.1.{number % 8 + 1}")) is not None:
            left.append(connection[1])
        while len(left) > 2000:
            left.pop(0).close()
        await asyncio.sleep(1 / 200)
    for writer in left:
        writer.close()


async def many_tokens(port: int, end: float) -> None:
    """100 requests a second, each with another token."""
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.5")
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}:{port}") as client:

        async def ask() -> None:
            token = f"aa_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
            with suppress(httpx.HTTPError):
                await client.get("/models", headers={"Authorization": f"Bearer {token}"})

        waiting: set[asyncio.Task[None]] = set()
        while time.monotonic() < end:
            if len(waiting) < 100:
                task = asyncio.create_task(ask())
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            await asyncio.sleep(1 / 100)
        await asyncio.gather(*waiting)


ATTACKS: dict[str, Attack] = {
    "slowloris": slowloris,
    "slow_read": slow_read,
    "header_flood": header_flood,
    "connection_flood": connection_flood,
    "many_tokens": many_tokens,
}


def attack(name: str, port: int, seconds: float) -> None:
    """Run one attack, after everything else on the cores."""
    os.nice(19)

    async def run() -> None:
        await ATTACKS[name](port, time.monotonic() + seconds)

    asyncio.run(run())
