"""Randomness that hangs on what a thing is, not on when it is made: adding one thing never moves
another.
"""

from hashlib import blake2b
from random import Random


def stable_hash(*parts: object) -> int:
    """A 64-bit number from the texts of the parts; equal parts give equal numbers on every
    machine.
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def in_share(share: float, *parts: object) -> bool:
    """Whether the parts fall into a share (0 to 1) of all possible ones, decided by their hash."""
    return stable_hash(*parts) / 2**64 < share


def seeded(*parts: object) -> Random:
    """A random generator of its own for the parts."""
    return Random(stable_hash(*parts))


def short_hash(*parts: object) -> str:
    """Eight hexadecimal digits, for ids."""
    return f"{stable_hash(*parts):016x}"[:8]
