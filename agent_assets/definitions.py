"""The code location: every pipeline below `defs/`, with the resources of this environment.

dagster definitions validate -m agent_assets.definitions

No resource has a configuration schema: who launches a run cannot change where it reads, writes or
executes, and no secret is in what Dagster records of a run (resources/fixed.py).
"""

import multiprocessing
from pathlib import Path

import dagster as dg

from agent_assets.no_telemetry import send_nothing
from agent_assets.parent_death import end_with_parent
from agent_assets.priority import RUN_PRIORITY
from agent_assets.privacy import be_private
from agent_assets.settings import load_settings
from resources.engines import EnginesResource
from resources.mongo import MongoResource
from resources.store import StoreResource
from resources.values import ValuesResource


@dg.definitions
def defs() -> dg.Definitions:
    """Assets and jobs from `defs/`, resources from the environment variables."""
    # Runs are children of whatever loads this, which need not be a command of ours.
    be_private()
    send_nothing()
    if multiprocessing.parent_process() is not None:
        end_with_parent()
        # In a run's own process this comes first: its imports take seconds of a core, too.
        RUN_PRIORITY.give_way()
    settings = load_settings()
    resources = {
        "store": StoreResource(root=settings.store, cache=str(settings.home / "store-cache")),
        "mongo": MongoResource(uri=settings.mongodb_uri or "", database=settings.mongodb_database),
        "engines": EnginesResource(
            environments=str(settings.engines), device=settings.device, home=str(settings.home)
        ),
        "io_manager": ValuesResource(folder=settings.dagster_home / "storage"),
    }
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        # One process per run: the stages of a chain share it, and what is heavy runs in engine
        # programs.
        dg.Definitions(resources=resources, executor=dg.in_process_executor),
    )
