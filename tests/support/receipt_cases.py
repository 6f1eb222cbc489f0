"""Receipts for tests, of erasures that never were."""

from agent_assets.erasure.receipts import Found, Receipt
from agent_assets.erasure.request import ErasureRequest, now_text


def receipt(elder: str) -> Receipt:
    """That of an elder."""
    request = ErasureRequest(elder=elder, who="eve", why="asked for")
    return Receipt(
        number=0,
        previous="",
        id=request.id,
        kind="elder",
        subject=request.subject_hash,
        salt=request.salt,
        who=request.who,
        why=request.why,
        started_at=request.started_at,
        finished_at=now_text(),
        places={"artifacts": Found(count=2, bytes=10, digest=request.digest(["a", "b"]))},
        kept=(),
        out_of_reach=("backups",),
    )
