"""Erasing an elder, and finishing what was interrupted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from agent_assets.automation.commands import opened
from agent_assets.erasure.all_places import (
    ELDER_PLACES,
    KEPT_OF_ELDER,
    KEPT_OF_MEMORY,
    MEMORY_PLACES,
)
from agent_assets.erasure.erase import Checkpoint, forget
from agent_assets.erasure.journal import ErasureJournal, Progress
from agent_assets.erasure.place import Item, Place, Scene
from agent_assets.erasure.receipts import Receipt
from agent_assets.erasure.request import ErasureRequest
from agent_assets.errors import AgentAssetsError, ErasureError, UnknownSubject
from agent_assets.mongo.layout import MongoLayout, check_elder_id
from agent_assets.mongo.memory_documents import memory_documents
from agent_assets.planning.elders import UNUSABLE, ElderSource
from agent_assets.planning.history import active_runs
from agent_assets.settings import Settings
from agent_assets.store.tombstones import bury

Confirm = Callable[["Overview"], bool]


@dataclass(frozen=True)
class Overview:
    """What an erasure would remove, and what it cannot reach, before it begins."""

    items: dict[str, list[Item]]
    out_of_reach: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is known of the subject: the files of MongoDB are always there, and the
        temporary folders of killed programs nobody's.
        """
        nobodys = {"files of the embedded MongoDB", "temporary folders of killed programs"}
        return not any(items for name, items in self.items.items() if name not in nobodys)


def erase_subject(settings: Settings, request: ErasureRequest, confirm: Confirm) -> Receipt | None:
    """Erase what a request names; None when `confirm`, which is shown what would go, declines.

    Raises:
        ErasureError: the memories are still in MongoDB, or a run is going on.
        UnknownSubject: nothing is known of the elder.
        MemoryDataError: no elder can be called so.
    """
    check_elder_id(request.elder, "string")
    with _scenes(settings) as scene_of:
        scene = scene_of(request)
        places = ELDER_PLACES if request.memory is None else MEMORY_PLACES
        overview = _overview(scene, places)
        _check_subject(scene, overview)
        if not confirm(overview):
            return None
        journal = ErasureJournal(settings.home)
        with journal.alone():
            _check_nobody_needs_it(scene)
            progress = Progress(request=request)
            journal.write(progress)
            return _forget(scene, progress)


def finish_pending(settings: Settings) -> list[Receipt]:
    """Finish the erasures that were interrupted, of this home; returns their receipts.

    Raises:
        ErasureError: one cannot be finished now.
        ReceiptError: the journal cannot be read.
    """
    journal = ErasureJournal(settings.home)
    if not journal.pending():
        return []
    with _scenes(settings) as scene_of, journal.alone():
        return [_forget(scene_of(progress.request), progress) for progress in journal.pending()]


def finished_erasures(settings: Settings) -> list[str]:
    """As `finish_pending`, for a start that has to go on: what happened, in words."""
    try:
        receipts = finish_pending(settings)
    except AgentAssetsError as error:
        return [f"An erasure could not be finished: {error}"]
    return [
        f"An erasure that was interrupted is finished: receipt {receipt.number}."
        for receipt in receipts
    ]


def _forget(
    scene: Scene, progress: Progress, checkpoint: Checkpoint = lambda step: None
) -> Receipt:
    # The tombstone first: from here on the elder does not answer, and nothing there counts as
    # fresh.
    if progress.request.memory is None:
        bury(scene.installation.store, progress.request.elder)
        places, kept = ELDER_PLACES, KEPT_OF_ELDER
    else:
        places, kept = MEMORY_PLACES, KEPT_OF_MEMORY
    return forget(scene, places, progress=progress, kept=kept, checkpoint=checkpoint)


@contextmanager
def _scenes(settings: Settings) -> Iterator[Callable[[ErasureRequest], Scene]]:
    with opened(settings) as (installation, instance):

        def scene_of(request: ErasureRequest) -> Scene:
            return Scene(settings, installation, instance, request)

        yield scene_of


def _overview(scene: Scene, places: tuple[Place, ...]) -> Overview:
    items = {place.name: place.items(scene) for place in places}
    sentences = [sentence for place in places for sentence in place.out_of_reach(scene)]
    return Overview(items, tuple(dict.fromkeys(sentences)))


def _check_subject(scene: Scene, overview: Overview) -> None:
    name = scene.request.names[-1]
    if scene.request.elder in {graph.name for graph in scene.installation.graphs}:
        raise UnknownSubject(f"'{name}' is a pipeline, not an elder.", next_step="name an elder.")
    if scene.request.memory is not None:
        if not (_holders_of_memory(scene) or overview.items["artifacts"]):
            raise UnknownSubject(
                f"There is no memory '{scene.request.memory}' of '{name}'.",
                next_step="see the ids in memories.jsonl of elder_memories, or in an answer.",
            )
    elif overview.empty:
        raise UnknownSubject(
            f"There is no data of an elder '{name}'.",
            next_step="see `agent-assets plan --all` for who is known.",
        )


def _check_nobody_needs_it(scene: Scene) -> None:
    elder, memory = scene.request.elder, scene.request.memory
    if memory is None:
        what = f"memories of '{elder}'"
        holders = [
            graph.name
            for graph in scene.installation.graphs
            if graph.spec.partitioned
            and _has_memories(scene.installation.elder_source(graph), elder)
        ]
    else:
        what, holders = f"the memory '{memory}' of '{elder}'", _holders_of_memory(scene)
    if holders and not scene.request.source:
        raise ErasureError(
            f"MongoDB still has {what} ({', '.join(holders)}): all of it would be made again.",
            next_step="delete the elder's answers in MongoDB first, or let --source delete them.",
        )
    check_no_run(scene.instance, elder)


def check_no_run(instance: dg.DagsterInstance, elder: str) -> None:
    """Raises ErasureError: a run of the elder is queued or going on."""
    if any(run.partition == elder for run in active_runs(instance)):
        raise ErasureError(
            f"A run of '{elder}' is going on.",
            next_step="terminate it in the UI of `agent-assets up`, or wait for its end.",
        )


def _holders_of_memory(scene: Scene) -> list[str]:
    """Pipelines for which MongoDB has the memory of a request."""
    return [
        graph.name
        for graph in scene.installation.graphs
        if graph.spec.partitioned
        and scene.request.memory
        in memory_documents(
            scene.installation.mongo.db,
            MongoLayout.model_validate(graph.spec.config.elder_memories.layout),
            scene.request.elder,
        )
    ]


def _has_memories(source: ElderSource, elder: str) -> bool:
    return any(content.digest != UNUSABLE for content in source.contents([elder]))
