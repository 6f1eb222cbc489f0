"""The HTTP API as a Markdown page, from its OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any

from docs.website.schema_tables import describe_type, tables

Part = Mapping[str, Any]

_TAGS = {
    "status": "State of the installation",
    "chat": "Asking an agent",
    "openai": "OpenAI's protocol",
    "a2a": "A2A",
    "training": "Training",
    "models": "Agents, their versions and files",
    "elders": "Forgetting",
}


def api_page(document: Part) -> str:
    """Every route with its parameters, body and replies; then every body, field by field."""
    schemas: Part = document["components"]["schemas"]
    parts = [
        "# HTTP API",
        f"{document['info']['description']} Version {document['info']['version']}. "
        "Generated from the OpenAPI document, which `agent-assets openapi` prints. "
        "[Release and serve](../serving.md) says how the routes play together.",
        "Every error but those of `/v1` is a [Problem](#problem).",
    ]
    by_tag: dict[str, list[str]] = {tag: [] for tag in _TAGS}
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            by_tag[route["tags"][0]].append(_route(method, path, route, schemas))
    for tag, routes in by_tag.items():
        parts += [f"## {_TAGS[tag]}", *routes]
    parts.append("## Bodies")
    for name in sorted(schemas):
        for table in tables(schemas[name], name, schemas):
            if table.title == name:
                parts.append(table.markdown(level=3, name="field"))
    return "\n\n".join(parts) + "\n"


def _route(method: str, path: str, route: Part, schemas: Part) -> str:
    parts = [f"### `{method.upper()} {path}`", route.get("description", "")]
    parameters = route.get("parameters", [])
    if parameters:
        rows = "\n".join(_parameter(parameter, schemas) for parameter in parameters)
        parts.append(f"| parameter | in | type | |\n|---|---|---|---|\n{rows}")
    body = route.get("requestBody", {}).get("content", {})
    if body:
        parts.append(f"Body: {_content(body, schemas)}")
    replies = [*_replies(route["responses"], schemas)]
    return "\n\n".join([*parts, *replies])


def _parameter(parameter: Part, schemas: Part) -> str:
    schema = parameter.get("schema", {})
    default = f" (default `{schema['default']}`)" if schema.get("default") is not None else ""
    needed = " needed." if parameter.get("required") else ""
    kind = describe_type(schema, schemas).replace("|", "\\|")
    meaning = f"{parameter.get('description', '')}{needed}".strip()
    return f"| `{parameter['name']}` | {parameter['in']} | {kind}{default} | {meaning} |"


def _replies(responses: Part, schemas: Part) -> Iterator[str]:
    errors = [status for status in responses if status >= "400"]
    for status, reply in responses.items():
        if status not in errors:
            yield f"{status}: {_content(reply.get('content', {}), schemas)}"
    if errors:
        yield f"Errors: {', '.join(errors)}."


def _content(content: Part, schemas: Part) -> str:
    if not content:
        return "nothing."
    texts = []
    for kind, media in content.items():
        name = str(media.get("schema", {}).get("$ref", "")).rpartition("/")[2]
        what = (
            f"[{name}](#{name.lower()})"
            if name
            else describe_type(media.get("schema", {}), schemas)
        )
        texts.append(what if kind == "application/json" else f"`{kind}`")
    return ", or ".join(texts) + "."
