"""Texts as a person would give them, within what a schema allows."""

import string
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any
from uuid import UUID

from agent_assets.conversations.messages import JsonObject
from agent_assets.synthesis.arguments.described import described_text
from agent_assets.synthesis.arguments.json_schema import day_form
from agent_assets.synthesis.arguments.patterns import text_of_pattern
from agent_assets.synthesis.arguments.pool import CannotSample, Pool

WORDS = (
    "alpha",
    "river",
    "north",
    "garden",
    "copper",
    "window",
    "summer",
    "paper",
    "harbor",
    "silver",
)


def _link(rng: Random) -> str:
    return f"https://example.com/{rng.choice(WORDS)}"


def _mail(rng: Random) -> str:
    return f"{rng.choice(WORDS)}@example.com"


def _host(rng: Random) -> str:
    return f"{rng.choice(WORDS)}.example.com"


# Formats by name. One that is not among them is a hint that nobody checks.
_FORMATS: Mapping[str, Callable[[Random], str]] = {
    "email": _mail,
    "idn-email": _mail,
    "uri": _link,
    "url": _link,
    "iri": _link,
    "uri-reference": _link,
    "iri-reference": _link,
    "uri-template": _link,
    "hostname": _host,
    "idn-hostname": _host,
    "host-name": _host,
    "ipv4": lambda rng: f"192.0.2.{rng.randint(1, 254)}",
    "ip-address": lambda rng: f"192.0.2.{rng.randint(1, 254)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randint(1, 0xFFFF):x}",
    "uuid": lambda rng: str(UUID(int=rng.getrandbits(128), version=4)),
    "duration": lambda rng: f"PT{rng.choice((5, 10, 15, 30, 45))}M",
    "json-pointer": lambda rng: f"/{rng.choice(WORDS)}",
    "relative-json-pointer": lambda rng: f"0/{rng.choice(WORDS)}",
    "regex": lambda rng: rng.choice(WORDS),
    "color": lambda rng: rng.choice(("red", "green", "blue", "black", "white")),
}


def sample_text(schema: JsonObject, pool: Pool, rng: Random, name: str, examples: list[Any]) -> str:
    """A text of a resolved schema.

    Raises:
        CannotSample: it has a pattern that no text was found for.
    """
    day, form = day_form(name, schema), str(schema.get("format"))
    if day is not None:
        return written_day(day, sample_day(pool, rng, room=0), rng)
    if form in {"date-time", "time"}:
        clock = f"{rng.randrange(24):02d}:{rng.choice((0, 15, 30, 45)):02d}:00Z"
        return clock if form == "time" else f"{sample_day(pool, rng, room=0).isoformat()}T{clock}"
    if examples:
        return str(rng.choice(examples))
    if "pattern" in schema:
        return text_of_pattern(schema["pattern"], rng, at_least=int(schema.get("minLength", 0)))
    if form in _FORMATS:
        return _FORMATS[form](rng)
    return described_text(str(schema.get("description", "")), rng) or _words(schema, rng)


def sample_day(pool: Pool, rng: Random, *, room: int) -> date:
    """A day of a pool, with `room` more days after it.

    Raises:
        CannotSample: the pool is shorter than that.
    """
    span = (pool.last - pool.first).days - room
    if span < 0:
        raise CannotSample("a span of dates shorter than one range")
    return pool.first + timedelta(days=rng.randint(0, span))


def written_day(form: str, day: date, rng: Random) -> str:
    """A day as `strftime` writes it, at some time of it where the form has one."""
    if "%H" not in form:
        return day.strftime(form)
    clock = time(rng.randrange(24), rng.choice((0, 15, 30, 45)))
    return datetime.combine(day, clock).strftime(form)


def _words(schema: JsonObject, rng: Random) -> str:
    text = " ".join(rng.sample(WORDS, rng.randint(1, 2)))
    text += "".join(
        rng.choice(string.ascii_lowercase)
        for _ in range(int(schema.get("minLength", 0)) - len(text))
    )
    most = schema.get("maxLength")
    return text if most is None else text[: int(most)]
