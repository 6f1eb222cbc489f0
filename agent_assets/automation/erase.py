"""`agent-assets erase`: nothing that was made from an elder's memories stays, not even what is
released.

The memories themselves are in MongoDB, which this never writes to: they have to be deleted there
first, because the
next tick would make everything again. What is left are ids, hashes and counts: in Dagster's
storage, and a tombstone, so that a later elder of this id inherits nothing.
"""

from pathlib import Path

import click
import dagster as dg

from agent_assets.automation.commands import opened
from agent_assets.automation.elders import PARTITIONS
from agent_assets.automation.planner import Installation
from agent_assets.errors import ConfigError
from agent_assets.mongo.layout import check_elder_id
from agent_assets.planning.elders import UNUSABLE, ElderSource, forget_elder
from agent_assets.planning.history import active_runs, known_partitions
from agent_assets.release import elder_releases
from agent_assets.settings import Settings
from agent_assets.store.erasable_data import (
    ElderDataLocations,
    elder_data_locations,
    erase_locations,
)
from agent_assets.store.partition_keys import as_partition_key
from agent_assets.store.retrains import forget_retrains
from agent_assets.store.tombstones import bury

_ELSEWHERE = "Not here to erase: MongoDB, traces that were sent to W&B, exported files, backups."


def erase_elder(settings: Settings, elder: str, *, dry_run: bool, confirmed: bool) -> int:
    """Remove everything made from an elder, of all pipelines, after asking; or only say what would
    go.

    Raises:
        ConfigError: nobody of this name is known, it is a pipeline, the memories are still in
            MongoDB, or a run is going on.
        MemoryDataError: no elder can be called so.
    """
    named, elder = elder, as_partition_key(elder)
    check_elder_id(elder, "string")
    with opened(settings) as (installation, instance):
        places = elder_data_locations(installation.store, settings.home / "logs", elder)
        if elder in {graph.name for graph in installation.graphs}:
            raise ConfigError(f"'{elder}' is a pipeline, not an elder.", next_step="name an elder.")
        agents = elder_releases.agents_of_elder(installation.store, elder)
        known = elder in known_partitions(instance, PARTITIONS)
        if not (known or agents or places.local or places.remote):
            raise ConfigError(
                f"There is no data of an elder '{named}'.",
                next_step="see `agent-assets plan --all` for who is known.",
            )
        for place in [*places.local, *places.remote]:
            click.echo(str(place))
        for agent, goes in agents.items():
            what = "release of" if goes else "record of a copy that was, not the release, of"
            click.echo(f"{what} {'/'.join(agent)}")
        click.echo(_counts(places, sum(agents.values())))
        if dry_run:
            return 0
        _check_nobody_needs_it(installation, instance, elder)
        if not confirmed:
            click.confirm(
                f"Erase all of it? {elder} stops answering, and nothing brings it back", abort=True
            )
        _erase(installation, instance, elder, settings.home / "logs")
    click.echo(f"{elder} is erased. {_ELSEWHERE}")
    return 0


def _check_nobody_needs_it(
    installation: Installation, instance: dg.DagsterInstance, elder: str
) -> None:
    partitioned = [graph for graph in installation.graphs if graph.spec.partitioned]
    holders = [
        graph.name
        for graph in partitioned
        if _has_memories(installation.elder_source(graph), elder)
    ]
    if holders:
        raise ConfigError(
            f"MongoDB still has memories of '{elder}' ({', '.join(holders)}): all of it would "
            "be made again.",
            next_step="delete the elder's answers in MongoDB first.",
        )
    if any(run.partition == elder for run in active_runs(instance)):
        raise ConfigError(
            f"A run of '{elder}' is going on.",
            next_step="terminate it in the UI, or wait for its end.",
        )


def _has_memories(source: ElderSource, elder: str) -> bool:
    return any(content.digest != UNUSABLE for content in source.contents([elder]))


def _erase(
    installation: Installation, instance: dg.DagsterInstance, elder: str, logs: Path
) -> None:
    store = installation.store
    # The tombstone first: from here on the elder does not answer, and nothing there counts as
    # fresh.
    bury(store, elder)
    if elder in known_partitions(instance, PARTITIONS):
        instance.delete_dynamic_partition(PARTITIONS, elder)
    elder_releases.erase_releases(store, elder)
    forget_retrains(store, elder)
    erase_locations(store, elder_data_locations(store, logs, elder))
    for graph in installation.graphs:
        if graph.spec.partitioned:
            forget_elder(installation.index, installation.elder_source(graph).scope, elder)


def _counts(places: ElderDataLocations, releases: int) -> str:
    files = [
        file for path in places.local for file in ([path] if path.is_file() else path.rglob("*"))
    ]
    size = sum(file.stat().st_size for file in files if file.is_file())
    remote = f", {len(places.remote)} folders of the remote store" if places.remote else ""
    return (
        f"{len(places.local)} places on this machine ({size / 2**20:.1f} "
        f"MB){remote}, "
        f"{releases} releases"
    )
