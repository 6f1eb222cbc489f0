"""Dagster's own web server, with a check of every GraphQL document just before it is executed.

Checking there, and not by path or content type, means that what is judged is what is executed,
however it arrived.
"""

from typing import Any

from dagster._core.workspace.context import (
    BaseWorkspaceRequestContext,
    WorkspaceProcessContext,
    WorkspaceRequestContext,
)
from dagster_webserver.webserver import DagsterWebserver
from graphql import (
    GraphQLError,
    GraphQLFormattedError,
    OperationDefinitionNode,
    OperationType,
    parse,
)
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from agent_assets.serving.tokens import Caller

CALLER = "agent_assets.caller"  # of an ASGI scope: put there by the guard, never by a client
_POLL_MILLISECONDS = 2000  # how often open pages ask for changes, as in `dagster-webserver`


def may_change(connection: HTTPConnection) -> bool:
    """Whether a caller may start, end and change things in the UI, or only look."""
    caller: Caller = connection.scope[CALLER]
    return caller.scope == "admin"


class GuardedWebserver(DagsterWebserver[WorkspaceProcessContext, BaseWorkspaceRequestContext]):
    """Accepts mutations by POST, in JSON, from callers who may change things. Everyone else gets
    Dagster's read-only permissions: its pages disable their buttons, and its resolvers refuse a
    second time.
    """

    async def graphql_http_endpoint(self, request: Request) -> Response:
        """GET and POST of `/graphql`."""
        if request.method == "POST":
            # Other types reach Dagster's executor, too: a form of any page can send text/plain.
            if (
                request.headers.get("content-type", "").partition(";")[0].strip().lower()
                != "application/json"
            ):
                return _refused(415, "GraphQL is taken as application/json.")
            try:
                body = await request.json()
            except ValueError:
                return _refused(400, "The request is not JSON.")
            if not isinstance(body, dict):
                return _refused(400, "One request at a time: a JSON object with `query`.")
        response: Response = await super().graphql_http_endpoint(request)
        return response

    async def execute_graphql_request(
        self,
        request: Request,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> JSONResponse:
        """Execute a query, or a mutation where it is allowed."""
        if not isinstance(query, str):
            return _refused(400, "`query` is a text.")
        if _changes_something(query):
            if request.method != "POST":
                return _refused(405, "Mutations are taken by POST alone.")
            if not may_change(request):
                return _refused(403, "This token may look, and do nothing.")
        response: JSONResponse = await super().execute_graphql_request(
            request, query, variables, operation_name
        )
        return response

    async def execute_graphql_subscription(
        self,
        websocket: WebSocket,
        operation_id: str,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> tuple[Any, GraphQLFormattedError | None]:
        """Follow a subscription. A websocket carries no mutations, whoever opened it."""
        if not isinstance(query, str) or _changes_something(query):
            return None, {"message": "Mutations are taken by POST alone."}
        return await super().execute_graphql_subscription(
            websocket, operation_id, query, variables, operation_name
        )

    def _make_request_context(self, conn: HTTPConnection) -> BaseWorkspaceRequestContext:
        context = super()._make_request_context(conn)
        if may_change(conn):
            return context
        return WorkspaceRequestContext(
            instance=context.instance,
            current_workspace=context.get_current_workspace(),
            process_context=context.process_context,
            version=context.version,
            source=conn,
            read_only=True,
        )


def create_webserver(workspace: WorkspaceProcessContext, **options: Any) -> Starlette:
    """The app, for a guard in front of it: it relies on a caller in each scope.

    Args:
        options: of Starlette.
    """
    server = GuardedWebserver(workspace, live_data_poll_rate=_POLL_MILLISECONDS)
    app: Starlette = server.create_asgi_app(**options)
    return app


def _changes_something(query: str) -> bool:
    """Whether a document holds a mutation, be it the operation that is asked for or not."""
    try:
        document = parse(query, no_location=True)
    except GraphQLError:
        return False  # Dagster parses it the same way, and answers what is wrong with it
    return any(
        isinstance(part, OperationDefinitionNode) and part.operation is OperationType.MUTATION
        for part in document.definitions
    )


def _refused(status: int, message: str) -> JSONResponse:
    return JSONResponse({"data": None, "errors": [{"message": message}]}, status)
