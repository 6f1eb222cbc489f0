"""Deleting at W&B what was traced of one elder: every call carries the attribute `elder`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent_assets.agent.weave_tracing import connected
from agent_assets.errors import ErasureError

if TYPE_CHECKING:
    from weave.trace.weave_client import WeaveClient

_BATCH = 100


def traced_calls(project: str, elder: str) -> list[str]:
    """Ids of the calls that W&B has of an elder, sorted.

    Args:
        project: `project` or `entity/project`.

    Raises:
        ErasureError: W&B does not answer, or refuses.
    """
    of_elder = {"$eq": [{"$getField": "attributes.elder"}, {"$literal": elder}]}
    with _client(project) as client:
        calls = client.get_calls(query={"$expr": of_elder}, columns=["id"])
        return sorted(str(call.id) for call in calls)


def delete_traced_calls(project: str, calls: list[str]) -> None:
    """Delete calls by their ids, with all below them.

    Raises:
        ErasureError: W&B does not answer, or refuses.
    """
    with _client(project) as client:
        for start in range(0, len(calls), _BATCH):
            client.delete_calls(calls[start : start + _BATCH])


@contextmanager
def _client(project: str) -> Iterator["WeaveClient"]:
    try:
        with connected(project) as client:
            yield client
    except Exception as error:  # W&B raises whatever it likes
        raise ErasureError(
            f"W&B does not let traces of the elder be deleted ({type(error).__name__}).",
            next_step="try again; or unset TRACES, delete them there by the attribute `elder`, and "
            "erase again: the receipt then says that W&B is out of reach.",
        ) from error
