"""Forgetting an elder."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from agent_assets.erasure.receipts import Receipt
from agent_assets.serving.context import AdminDep, ServicesDep
from agent_assets.serving.routes.strict_json import StrictJsonRoute
from agent_assets.serving.schemas import ElderId

router = APIRouter(tags=["elders"], route_class=StrictJsonRoute)


@router.delete("/elders/{elder_id}", response_model=Receipt)
async def erase_elder(
    elder_id: ElderId,
    serving: ServicesDep,
    caller: AdminDep,
    source: Annotated[
        bool, Query(description="Also delete answers, profile and questions in MongoDB.")
    ] = False,
    memory: Annotated[
        str | None, Query(max_length=40, description="Forget this one memory of the elder alone.")
    ] = None,
    why: Annotated[
        str, Query(max_length=500, description="For the receipt. Name nobody in it.")
    ] = "",
) -> Receipt:
    """Forget an elder: everything made from their memories goes, from every place, before the
    reply, which is the receipt.

    Without `source` the memories have to be deleted in MongoDB first. An erasure that was
    interrupted is finished when the API, or the installation, starts again. After `memory` the
    elder answers again when a version without it is released: by the night, or POST /train/start.
    """
    from agent_assets.erasure.forgetting import erase_subject
    from agent_assets.erasure.request import ErasureRequest

    request = ErasureRequest(
        elder=elder_id, memory=memory, who=f"token {caller.id}", why=why, source=source
    )
    receipt = await run_in_threadpool(
        erase_subject, serving.settings, request, lambda overview: True
    )
    assert receipt is not None
    return receipt
