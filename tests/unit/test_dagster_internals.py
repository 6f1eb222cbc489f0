"""What we expect of names that Dagster does not promise. A new version of Dagster meets this first:
a failure here says what moved, before a nightly run does.
"""

import ast
import inspect
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pytest
from dagster_webserver.webserver import DagsterWebserver

from agent_assets import dagster_internals as internals

ROOT = Path(__file__).resolve().parents[2]
CHECKED_WITH = "1.13.27"


def test_this_version_of_dagster_was_checked() -> None:
    installed = version("dagster")
    assert installed == CHECKED_WITH, (
        f"Dagster {installed} is installed, and what we use of its internals was checked with "
        f"{CHECKED_WITH}. Run this file and tests/graph, integration/runs, integration/automation "
        "and integration/serving; then set CHECKED_WITH."
    )


def test_one_module_imports_what_is_not_public() -> None:
    private = ("dagster._", "dagster_shared", "dagster.components.core", "dagster_graphql._")
    importers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "agent_assets").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(private)
    }
    assert importers == {"agent_assets/dagster_internals.py"}


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (
            internals.submit_asset_run,
            "run_id run_request run_request_index instance workspace_process_context workspace "
            "run_request_execution_data_cache debug_crash_flags logger",
        ),
        (internals.is_valid_cron_string, "cron_string"),
        (internals.WorkspaceProcessContext, "instance workspace_load_target version"),
        (internals.WorkspaceProcessContext.create_request_context, "self"),
        (
            internals.WorkspaceRequestContext,
            "instance current_workspace process_context version source read_only",
        ),
        (internals.SqlRunStorage.get_run_storage_id, "self"),
        (internals.SqlEventLogStorage.index_connection, "self"),
        (internals.PipesMessageHandler.handle_message, "self message"),
        # What the guard of the UI overrides: a renamed method would leave mutations unguarded.
        (DagsterWebserver.graphql_http_endpoint, "self request"),
        (DagsterWebserver.execute_graphql_request, "self request query variables operation_name"),
        (
            DagsterWebserver.execute_graphql_subscription,
            "self websocket operation_id query variables operation_name",
        ),
        (DagsterWebserver._make_request_context, "self conn"),
    ],
)
def test_a_function_takes_what_we_hand_it(function: Callable[..., object], parameters: str) -> None:
    expected = parameters.split()
    taken = inspect.signature(function).parameters
    assert [name for name in taken if name in expected] == expected, list(taken)
    required = {
        name
        for name, parameter in taken.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    assert required <= set(expected), f"new required parameters: {required - set(expected)}"


def test_states_of_a_run_are_the_known_ones() -> None:
    status = dg.DagsterRunStatus
    waiting = {status.QUEUED, status.NOT_STARTED}
    going_on = {status.STARTING, status.STARTED, status.CANCELING, status.SUSPENDED}
    ended = {status.SUCCESS, status.FAILURE, status.CANCELED}
    assert set(internals.NOT_FINISHED_STATUSES) == waiting | going_on
    assert set(internals.IN_PROGRESS_RUN_STATUSES) == going_on
    assert {*status} - waiting - going_on - ended == {status.MANAGED}


def test_the_event_log_of_an_instance_is_read_in_bulk() -> None:
    with dg.instance_for_test() as instance:
        assert isinstance(instance.event_log_storage, internals.SqlEventLogStorage)
        assert isinstance(instance.run_storage, internals.SqlRunStorage)
        assert instance.run_storage.get_run_storage_id()
    assert {"id", "event"} <= set(internals.SqlEventLogStorageTable.c.keys())


def test_a_workspace_is_named_by_its_file() -> None:
    assert internals.WorkspaceFileTarget(["workspace.yaml"]).paths == ["workspace.yaml"]


def test_names_that_are_stored_have_not_changed() -> None:
    """They stand in the history of every installation."""
    assert internals.GRPC_INFO_TAG == ".dagster/grpc_info"
