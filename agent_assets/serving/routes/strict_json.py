"""Bodies are strict JSON: what could not be written again is refused where it is read.

Python's reader takes half a surrogate pair, NaN and any depth of brackets; each of them would fail
much later, in the request to the model server or in our own reply. The error says where, and quotes
nothing.
"""

import codecs
import json
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute


class StrictJsonRoute(APIRoute):
    """A route whose body is read by `orjson`: `APIRouter(route_class=StrictJsonRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a request that reads strictly."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        """The body. A byte order mark, which some clients on Windows send, is passed over.

        Raises:
            json.JSONDecodeError: the body is not JSON, or deeper than can be written again.
        """
        value = orjson.loads((await self.body()).removeprefix(codecs.BOM_UTF8))
        try:
            orjson.dumps(value)
        except orjson.JSONEncodeError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None
        return value
