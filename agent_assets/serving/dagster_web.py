"""Dagster's web server as the HTTP API uses it: GraphQL over HTTP, with the ticket of a service."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from agent_assets.errors import ServingError
from agent_assets.serving.door import service_headers
from agent_assets.serving.seals import Seal

_SECONDS, _PING_SECONDS = 30.0, 2.0
_LOCATION, _REPOSITORY = "agent_assets", "__repository__"

LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on InvalidSubsetError { message } ... on RunConfigValidationInvalid { errors { message } } } }
"""
TERMINATE = """
mutation($runId: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $runId, terminatePolicy: $policy) {
  __typename ... on PythonError { message } } }
"""


def launch_variables(
    pipeline: str, assets: Sequence[str], tags: Mapping[str, str]
) -> dict[str, Any]:
    """The variables of `LAUNCH`: a run of these assets of a pipeline."""
    params = {
        "selector": {
            "repositoryLocationName": _LOCATION,
            "repositoryName": _REPOSITORY,
            "jobName": f"{pipeline}_job",
            "assetSelection": [{"path": [pipeline, name]} for name in assets],
        },
        "runConfigData": {},
        "executionMetadata": {
            "tags": [{"key": name, "value": value} for name, value in tags.items()]
        },
    }
    return {"params": params}


class DagsterUnavailable(ServingError):
    """Dagster's web server does not take requests."""


class DagsterWeb:
    """The web server of one installation. Its methods block.

    Args:
        url: where it listens.
        seal: by which it knows a service of its own installation.
    """

    def __init__(self, url: str, seal: Seal) -> None:
        self._url, self._seal = url.rstrip("/"), seal

    def ask(self, query: str, variables: dict[str, Any]) -> Any:
        """The data of a GraphQL reply.

        Raises:
            DagsterUnavailable: it does not answer, or refuses the request.
        """
        payload = {"query": query, "variables": variables}
        try:
            headers = service_headers(self._seal)
            reply = httpx.post(
                f"{self._url}/graphql", json=payload, headers=headers, timeout=_SECONDS
            )
            body = reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise DagsterUnavailable(
                f"Dagster does not answer ({type(error).__name__}).",
                next_step="start it with `agent-assets up`, or set AGENT_ASSETS_DAGSTER_URL.",
            ) from None
        if "data" not in body or body.get("errors"):
            raise DagsterUnavailable("Dagster refused the request.", next_step="look at its log.")
        return body["data"]

    def ping(self) -> bool:
        """Whether it answers."""
        headers = service_headers(self._seal)
        try:
            return (
                httpx.get(
                    f"{self._url}/server_info", headers=headers, timeout=_PING_SECONDS
                ).status_code
                == 200
            )
        except httpx.HTTPError:
            return False
