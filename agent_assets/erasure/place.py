"""What a place is: somewhere that holds what an elder told, or that names the elder."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent_assets.erasure.receipts import Found
from agent_assets.erasure.request import ErasureRequest

if TYPE_CHECKING:
    import dagster as dg

    from agent_assets.automation.planner import Installation
    from agent_assets.settings import Settings


@dataclass(frozen=True)
class Scene:
    """Where an erasure works: one installation, and what is to be forgotten."""

    settings: "Settings"
    installation: "Installation"
    instance: "dg.DagsterInstance"
    request: ErasureRequest


@dataclass(frozen=True)
class Item:
    """One thing that goes: a file, a row, a document. `label` is for the operator's eyes, before
    it goes; `content` is its hash.
    """

    label: str
    bytes: int = 0
    content: str = ""


class Place(Protocol):
    """One place. Both methods may be called again after an interruption: what is gone is not found,
    and removing nothing is no error.
    """

    @property
    def name(self) -> str:
        """As receipts call it."""

    def items(self, scene: Scene) -> list[Item]:
        """What it holds of the subject now."""

    def remove(self, scene: Scene) -> None:
        """Remove all of that, so that no byte stays."""

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """What cannot be erased from here, in sentences without names."""


def found(request: ErasureRequest, items: list[Item]) -> Found:
    """What a receipt says of these items."""
    if not items:
        return Found()
    lines = [f"{item.label}\0{item.bytes}\0{item.content}" for item in items]
    return Found(
        count=len(items), bytes=sum(item.bytes for item in items), digest=request.digest(lines)
    )
