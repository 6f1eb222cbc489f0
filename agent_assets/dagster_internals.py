"""What we use of Dagster that it does not promise: every name with the reason why no public one
will do.

No other module of ours imports from `dagster._*`, `dagster_shared` or the unlisted modules of
`dagster.components`. `tests/unit/test_dagster_internals.py` holds what is expected of each name: a
new version of Dagster is tried there first, in seconds.
"""

# A storage that is not SQL cannot be read in bulk.
from dagster._core.errors import DagsterInvalidInvocationError

# Putting a run into the daemon's queue: no public call submits an asset selection with a partition.
from dagster._core.execution.submit_asset_runs import RunRequestExecutionData, submit_asset_run

# A type alone: what a session of Pipes hands to a message reader.
from dagster._core.pipes.context import PipesMessageHandler

# Which states are not the end of a run, and in which a process of the run is there.
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES, NOT_FINISHED_STATUSES

# Many materializations in one query, as JSON: Dagster's own objects take ten times as long to make.
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

# The tag of a run that a code server starts: its process is watched by that server.
from dagster._core.storage.tags import GRPC_INFO_TAG

# A workspace in our own process: for the queue, and for the UI behind its guard.
from dagster._core.workspace.context import (
    BaseWorkspaceRequestContext,
    WorkspaceProcessContext,
    WorkspaceRequestContext,
)
from dagster._core.workspace.load_target import WorkspaceFileTarget

# Whether a text is a cron line, before a schedule is made of it.
from dagster._utils.schedules import is_valid_cron_string

# What loading a `defs.yaml` raises.
from dagster.components.core.component_tree import ComponentTreeException
from dagster_shared.check import CheckError
from dagster_shared.error import DagsterUnresolvableSymbolError

__all__ = [
    "GRPC_INFO_TAG",
    "IN_PROGRESS_RUN_STATUSES",
    "NOT_FINISHED_STATUSES",
    "BaseWorkspaceRequestContext",
    "CheckError",
    "ComponentTreeException",
    "DagsterInvalidInvocationError",
    "DagsterUnresolvableSymbolError",
    "PipesMessageHandler",
    "RunRequestExecutionData",
    "SqlEventLogStorage",
    "SqlEventLogStorageTable",
    "SqlRunStorage",
    "WorkspaceFileTarget",
    "WorkspaceProcessContext",
    "WorkspaceRequestContext",
    "is_valid_cron_string",
    "submit_asset_run",
]
