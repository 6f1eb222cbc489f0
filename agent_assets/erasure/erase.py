"""Goes through the places with a journal. Killed at any point, the next start goes on where it
was: what a place held is written down before it is removed, and removing twice is no error.
"""

from collections.abc import Callable, Sequence

from agent_assets.erasure.journal import ErasureJournal, Progress
from agent_assets.erasure.place import Place, Scene, found
from agent_assets.erasure.receipts import Receipt, ReceiptChain
from agent_assets.erasure.request import now_text
from agent_assets.errors import ErasureError

_ROUNDS = 3  # of looking again: a run that had begun may have written while others were erased

Checkpoint = Callable[[str], None]


def forget(
    scene: Scene,
    places: Sequence[Place],
    *,
    progress: Progress,
    kept: Sequence[str] = (),
    checkpoint: Checkpoint = lambda step: None,
) -> Receipt:
    """Remove the subject of a request from all places, and write the receipt.

    Args:
        progress: of a new request, or of one that was interrupted.
        kept: what stays on purpose, for the receipt.
        checkpoint: called between two steps with the name of the one that is done.

    Raises:
        ErasureError: something goes on writing what is removed. The request stays in the journal.
    """
    journal, chain = ErasureJournal(scene.settings.home), ReceiptChain(scene.settings.home)
    receipt = chain.find(progress.request.id)
    if receipt is None:
        for place in places:
            if place.name not in progress.done:
                _forget_in(place, scene, progress, journal, checkpoint)
        _look_again(scene, places)
        checkpoint("looked again")
        receipt = chain.append(_receipt(progress, places, kept))
        checkpoint("receipt")
    journal.finish(progress)
    checkpoint("journal")
    return receipt


def _forget_in(
    place: Place, scene: Scene, progress: Progress, journal: ErasureJournal, checkpoint: Checkpoint
) -> None:
    if place.name not in progress.found:
        progress.out_of_reach[place.name] = list(place.out_of_reach(scene))
        progress.found[place.name] = found(scene.request, place.items(scene))
        journal.write(progress)
        checkpoint(f"{place.name} found")
    place.remove(scene)
    checkpoint(f"{place.name} removed")
    progress.done.append(place.name)
    journal.write(progress)
    checkpoint(f"{place.name} done")


def _look_again(scene: Scene, places: Sequence[Place]) -> None:
    left: list[str] = []
    for _ in range(_ROUNDS):
        left = []
        for place in places:
            if place.items(scene):
                left.append(place.name)
                place.remove(scene)
        if not left:
            return
    raise ErasureError(
        f"Something goes on writing what is erased: {', '.join(left)}.",
        next_step="end the runs of this elder, and stop what writes there; then erase again.",
    )


def _receipt(progress: Progress, places: Sequence[Place], kept: Sequence[str]) -> Receipt:
    request = progress.request
    sentences = [s for place in places for s in progress.out_of_reach.get(place.name, ())]
    return Receipt(
        number=0,
        previous="",
        id=request.id,
        kind="elder" if request.memory is None else "memory",
        subject=request.subject_hash,
        salt=request.salt,
        who=request.who,
        why=request.why,
        started_at=request.started_at,
        finished_at=now_text(),
        places={place.name: progress.found[place.name] for place in places},
        kept=tuple(kept),
        out_of_reach=tuple(dict.fromkeys(sentences)),
    )
