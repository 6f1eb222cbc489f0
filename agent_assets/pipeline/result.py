"""What is written down of a build: its manifest, and what Dagster shows of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from agent_assets.errors import StoreError
from agent_assets.pipeline.metadata import artifact_metadata, plain_metadata
from agent_assets.pipeline.stage import (
    PostBuildResult,
    Stage,
    StageResult,
    StageRun,
)
from agent_assets.planning.history import (
    BROKEN_TAG,
    FINGERPRINT_TAG,
    INCARNATION_TAG,
    INPUT_TAG,
)
from agent_assets.store.artifact_store import Artifact, ArtifactKey
from agent_assets.store.manifest import Manifest, content_version, hash_files

DEVICE_TAG = "agent_assets/device"


def make_manifest(
    key: ArtifactKey,
    digest: str,
    stage: Stage,
    versions: Mapping[str, str],
    config: Mapping[str, object],
    result: StageResult,
    folder: Path,
    seconds: float,
) -> Manifest:
    """The manifest of files that a stage has just written.

    Raises:
        StoreError: the stage evaluated other checks than it declares.
    """
    declared = {check.name: check for check in stage.checks}
    if {check.name for check in result.checks} != set(declared):
        raise StoreError(
            f"{key} evaluated other checks than it declares.", next_step="report this as a defect."
        )
    files = hash_files(folder)
    return Manifest(
        pipeline=key.pipeline,
        asset=key.asset,
        partition=key.partition,
        fingerprint=digest,
        data_version=result.data_version
        or content_version(files, only_suffixes=result.version_suffixes),
        code_version=stage.code_version,
        inputs=dict(versions),
        config=dict(config),
        files=files,
        engine=result.engine,
        device=result.device,
        seconds=round(seconds, 3),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        weights_loaded=None if result.weights_loaded is None else dict(result.weights_loaded),
        summary=dict(result.summary),
        checks=[
            check.model_copy(update={"blocking": declared[check.name].blocking})
            for check in result.checks
        ],
    )


def materialize_result(
    artifact: Artifact, stage: Stage, run: StageRun, incarnation: int, *, reused: bool, why: str
) -> dg.MaterializeResult[object]:
    """What Dagster records of an artifact that was built, or found (`reused`); `why` is shown."""
    manifest = artifact.manifest
    decided = (
        PostBuildResult({})
        if stage.on_materialized is None
        else stage.on_materialized(run, artifact)
    )
    return dg.MaterializeResult(
        metadata=artifact_metadata(artifact, reused=reused, why=why)
        | plain_metadata(decided.metadata),
        data_version=dg.DataVersion(manifest.data_version),
        tags=_plan_tags(artifact, incarnation) | {DEVICE_TAG: _tag_value(manifest.device)},
        check_results=[
            dg.AssetCheckResult(
                check_name=check.name,
                passed=check.passed,
                description=check.description,
                metadata=check.metadata,
                severity=dg.AssetCheckSeverity.ERROR
                if check.blocking
                else dg.AssetCheckSeverity.WARN,
            )
            for check in [*manifest.checks, *decided.checks]
        ],
    )


def _plan_tags(artifact: Artifact, incarnation: int) -> dict[str, str]:
    """What the plan reads of a materialization besides what Dagster records itself."""
    tags = {FINGERPRINT_TAG: artifact.manifest.fingerprint}
    tags |= {f"{INPUT_TAG}{name}": version for name, version in artifact.manifest.inputs.items()}
    if incarnation:
        tags[INCARNATION_TAG] = str(incarnation)
    if artifact.broken_checks:
        tags[BROKEN_TAG] = _tag_value("..".join(artifact.broken_checks))
    return tags


def _tag_value(text: str) -> str:
    """A device name as a tag value: letters, digits, `_`, `-`, `.`, at most 63 characters."""
    return "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in text)[:63]
