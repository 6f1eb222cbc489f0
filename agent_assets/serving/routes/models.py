"""Released agents: list, look at, delete, copy, export."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from agent_assets.errors import ReleaseError
from agent_assets.release.pointer import drop, move, read_ledger
from agent_assets.serving.archive import archive, archive_size
from agent_assets.serving.context import AdminDep, CallerDep, Services, ServicesDep, WriterDep
from agent_assets.serving.released import ReleasedAgent
from agent_assets.serving.routes.strict_json import StrictJsonRoute
from agent_assets.serving.rows_on_demand import rows_of
from agent_assets.serving.schemas import (
    CopyRequest,
    Done,
    ExportedRows,
    ModelDetails,
    ModelEntry,
    ModelList,
)
from agent_assets.store.partition_keys import as_partition_key

router = APIRouter(tags=["models"], route_class=StrictJsonRoute)


@router.get("/models", response_model=ModelList)
async def models(
    serving: ServicesDep,
    caller: CallerDep,
    filter_afs_only: Annotated[bool, Query(description="Only agents of elders.")] = True,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ModelList:
    """Released agents by id, a page at a time."""

    def read() -> ModelList:
        agents = [
            agent
            for agent in serving.released.agents()
            if serving.may_ask(caller, agent) and not (filter_afs_only and agent[0] == agent[1])
        ]
        page = [
            (agent[1], serving.released.entry(agent)) for agent in agents[offset : offset + limit]
        ]
        entries = [
            ModelEntry(
                name=serving.released.shown(entry), id=name, size=entry.bytes, modified=entry.at
            )
            for name, entry in page
            if entry is not None
        ]
        return ModelList(total=len(agents), models=entries)

    return await run_in_threadpool(read)


@router.get("/models/{elder_id}", response_model=ModelDetails)
async def model(elder_id: str, serving: ServicesDep, caller: CallerDep) -> ModelDetails:
    """Versions, scores, sizes and lineage of an agent."""
    return await run_in_threadpool(lambda: _details(serving, serving.find(caller, elder_id)))


@router.delete("/models/{elder_id}", response_model=Done)
async def delete(elder_id: str, serving: ServicesDep, caller: AdminDep) -> Done:
    """Take an agent out of service: unloaded, its release dropped.

    A rollback brings it back, and so does the next new version that passes the gate; this version
    stays held.
    """
    released = await run_in_threadpool(serving.find, caller, elder_id)
    await run_in_threadpool(
        drop, serving.released.store, released.agent, author=f"token {caller.id}", reason="DELETE"
    )
    await serving.inference.forget(released.entry.name)
    return Done(success=True, message="The agent does not answer any more.")


@router.post("/models/{elder_id}/copy", response_model=Done)
async def copy(elder_id: str, request: CopyRequest, serving: ServicesDep, caller: AdminDep) -> Done:
    """Let the present version of an agent answer under another id, too; later releases do not move
    the copy.
    """

    def work() -> None:
        released = serving.find(caller, elder_id)
        target = (released.agent[0], request.to)
        if (
            not request.to.strip(".")
            or target == released.agent
            or released.agent[0] == released.agent[1]
        ):
            raise ReleaseError(
                "An agent of an elder is copied to another id.", next_step="choose another id."
            )
        before = read_ledger(serving.released.store, target)
        if before.current is not None and before.current.action != "copy":
            raise ReleaseError("That id has a release of its own.", next_step="choose another id.")
        entry = released.entry
        move(
            serving.released.store,
            target,
            expected=before.current.version if before.current else None,
            version=entry.version,
            name=entry.name,
            action="copy",
            author=f"token {caller.id}",
            reason=f"copy of {released.id}",
            elder=entry.elder,
            size=entry.bytes,
        )

    await run_in_threadpool(work)
    return Done(success=True, message=f"{request.to} answers with the same version.")


@router.get("/models/{elder_id}/export", response_class=StreamingResponse)
async def export(
    elder_id: str,
    request: Request,
    serving: ServicesDep,
    caller: WriterDep,
    form: Literal["adapter", "merged"] = "adapter",
) -> StreamingResponse:
    """The files of the adapter, or of the merged model (safetensors, tokenizer, template), as a
    tar.
    """
    released = await run_in_threadpool(serving.find, caller, elder_id)
    if not serving.exports.take(request, caller.id):
        raise HTTPException(429)
    artifact = await run_in_threadpool(serving.released.part, released, form)
    name = f"{released.entry.name}-{form}.tar"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(archive_size(artifact)),
    }
    return StreamingResponse(archive(artifact), media_type="application/x-tar", headers=headers)


@router.get("/export-jsonl/{elder_id}", response_model=ExportedRows)
async def export_jsonl(
    elder_id: str,
    request: Request,
    serving: ServicesDep,
    caller: WriterDep,
    download: Annotated[bool, Query(description="Send the file itself.")] = False,
) -> ExportedRows | FileResponse:
    """The training rows of an elder with answers, made now if need be; trained or not."""
    if download and not serving.exports.take(request, caller.id):
        raise HTTPException(429)
    rows = await rows_of(serving, caller, as_partition_key(elder_id))
    path = rows.path / "train.jsonl"
    if download:
        return FileResponse(path, media_type="application/jsonl", filename=f"{elder_id}.jsonl")
    return ExportedRows(success=True, elder_id=elder_id, jsonl_path=str(path))


def _details(serving: Services, released: ReleasedAgent) -> ModelDetails:
    ledger = read_ledger(serving.released.store, released.agent)
    candidate = released.candidate
    parts: dict[str, Any] = {}
    for role, part in candidate.parts.items():
        artifact = serving.released.store.find(part.key(released.agent[0]), part.fingerprint)
        size = (
            None
            if artifact is None
            else sum(entry.bytes for entry in artifact.manifest.files.values())
        )
        parts[role] = {
            "asset": part.asset,
            "fingerprint": part.fingerprint,
            "version": part.version,
            "bytes": size,
        }
        if role == "memories" and artifact is not None:
            parts[role]["memories"] = artifact.manifest.summary.get("memories")
        if role == "rows" and artifact is not None:
            parts[role]["rows"] = artifact.manifest.summary.get("rows")
    details = {
        "pipeline": released.agent[0],
        "system": candidate.variant,
        "released": released.entry.model_dump(mode="json", exclude={"bytes"}),
        "scores": candidate.scores,
        "lineage": parts,
        "versions": [entry.model_dump(mode="json", include=_SHOWN) for entry in ledger.history],
        "verdicts": [verdict.model_dump(mode="json") for verdict in ledger.verdicts[-5:]],
    }
    name = serving.released.shown(released.entry)
    return ModelDetails(name=name, elder_id=released.id, details=details)


_SHOWN = {"version", "name", "action", "at", "author", "reason"}
