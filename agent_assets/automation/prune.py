"""`agent-assets prune`: old versions and unused temporary folders go; what is in use or released
never does.
"""

import click
import dagster as dg

from agent_assets.automation.config import load_automation
from agent_assets.automation.planner import Installation, load_installation
from agent_assets.export.places import scratch_folders
from agent_assets.pipeline.assets import ELDERS
from agent_assets.planning.history import DagsterLog, active_runs, known_partitions
from agent_assets.planning.recorded import read_latest
from agent_assets.release.kept_versions import released_fingerprints
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import ArtifactKey
from agent_assets.store.retention import Pruning, Reference, apply_pruning, plan_pruning


def prune_store(settings: Settings, *, dry_run: bool) -> int:
    """Remove old versions and unused temporary folders, or say what would go."""
    retention = load_automation().retention
    prepare_dagster_home(settings)
    installation = load_installation(settings)
    with open_instance(settings) as instance:
        released = released_fingerprints(installation.store)
        busy = {run.partition for run in active_runs(instance)}
        if released.unknown:
            names = ", ".join(sorted(released.unknown))
            click.echo(f"a release cannot be read, so all of it stays: {names}", err=True)
            unpartitioned = {graph.name for graph in installation.graphs}
            busy |= {None if name in unpartitioned else name for name in released.unknown}
        pruning = plan_pruning(
            installation.store,
            keep_versions=retention.keep_versions,
            temporary_s=retention.temporary_hours * 3600,
            protected=versions_in_use(installation, instance) | released.references,
            busy=busy,
            scratch=scratch_folders(settings.home),
        )
    for line in _lines(pruning, dry_run):
        click.echo(line)
    if not dry_run:
        apply_pruning(installation.store, pruning)
    return 0


def versions_in_use(installation: Installation, instance: dg.DagsterInstance) -> set[Reference]:
    """Versions that the latest materializations name: they stay whatever their age."""
    elders = known_partitions(instance, str(ELDERS.name))
    facts = [graph.facts(elders) for graph in installation.graphs]
    latest = read_latest(DagsterLog(instance), installation.index, facts)
    return {
        (ArtifactKey(pipeline, asset, partition), materialization.fingerprint)
        for (pipeline, asset), by_partition in latest.items()
        for partition, materialization in by_partition.items()
    }


def _lines(pruning: Pruning, dry_run: bool) -> list[str]:
    lines = [f"{version.key} {version.fingerprint}" for version in pruning.versions]
    lines += [f"temporary folder {folder.name}" for folder in pruning.folders]
    what = "would be removed" if dry_run else "removed"
    counts = f"{len(pruning.versions)} versions and {len(pruning.folders)} temporary folders"
    return [
        *lines,
        f"{counts} {what} ({pruning.bytes / 2**20:.1f} MB), {pruning.kept} versions kept",
    ]
