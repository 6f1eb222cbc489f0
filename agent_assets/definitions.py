"""The code location of a project: every pipeline below its `defs/`, with the schedule, the sensors
and the resources of this environment.

A project has a definitions.py of its own:

    @dg.definitions
    def defs() -> dg.Definitions:
        return build_definitions(Path(__file__))

`defs` in here is that of a checkout. No resource has a configuration schema: who launches a run
cannot change where it reads, writes or executes, and no secret is in what Dagster records of a run
(resources/fixed.py).
"""

import multiprocessing
from pathlib import Path

import dagster as dg

from agent_assets.no_telemetry import send_nothing
from agent_assets.parent_death import end_with_parent
from agent_assets.priority import RUN_PRIORITY
from agent_assets.privacy import be_private
from agent_assets.projects.project import require_project
from agent_assets.resources.engines import EnginesResource
from agent_assets.resources.mongo import MongoResource
from agent_assets.resources.store import StoreResource
from agent_assets.resources.values import ValuesResource
from agent_assets.sensors import alerts, automation
from agent_assets.settings import Settings, enter_project


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of a checkout."""
    return build_definitions(Path(__file__))


def build_definitions(path_within: Path) -> dg.Definitions:
    """Assets and jobs from `defs/` of a project, resources from the environment variables.

    Args:
        path_within: a file of the project.

    Raises:
        ConfigError: it lies in no project, or a setting is wrong.
    """
    # Runs are children of whatever loads this, which need not be a command of ours.
    be_private()
    send_nothing()
    if multiprocessing.parent_process() is not None:
        end_with_parent()
        # In a run's own process this comes first: its imports take seconds of a core, too.
        RUN_PRIORITY.give_way()
    settings = enter_project(path_within)
    project = require_project(settings.project)
    project.make_importable()
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=project.folder),
        automation.build_automation(),
        alerts.build_alert_sensors(),
        # One process per run: the stages of a chain share it, and what is heavy runs in engine
        # programs.
        dg.Definitions(resources=_resources(settings), executor=dg.in_process_executor),
    )


def _resources(settings: Settings) -> dict[str, object]:
    return {
        "store": StoreResource(root=settings.store, cache=str(settings.home / "store-cache")),
        "mongo": MongoResource(uri=settings.mongodb_uri or "", database=settings.mongodb_database),
        "engines": EnginesResource(
            environments=str(settings.engines), device=settings.device, home=str(settings.home)
        ),
        "io_manager": ValuesResource(folder=settings.dagster_home / "storage"),
    }
