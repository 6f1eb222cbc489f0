"""Fields of HTML forms, and where a log-in may lead."""

from urllib.parse import parse_qs

from starlette.requests import Request


async def read_form(request: Request, *, longest: int) -> dict[str, str] | None:
    """The fields of a form, the first value of each; None when it has more bytes than `longest`."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > longest:
            return None
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def local_path(path: str | None, otherwise: str) -> str:
    """Where to go on: a path of this server, never another one's (`//evil.example`,
    `/\\evil.example`).
    """
    if not path or not path.startswith("/") or path[1:2] in {"/", "\\"} or not path.isprintable():
        return otherwise
    return path
