"""A pipeline in a sandbox: `defs.yaml` and `mcp_config.json` as a user writes them, loaded as
Dagster does it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import yaml
from dagster.components.testing.utils import create_defs_folder_sandbox

COMPONENT = "agent_assets.pipeline.component.AgentPipeline"
CLOCK = {
    "mcpServers": {
        "clock": {"command": "${python}", "args": ["-m", "mcp_server_time"], "transport": "stdio"}
    }
}


@contextmanager
def loaded(
    attributes: Mapping[str, Any],
    servers: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
) -> Iterator[dg.Definitions]:
    """The definitions of a project with this one `defs.yaml`, and other files beside it."""
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.defs_folder_path / "agent"
        folder.mkdir(parents=True)
        (folder / "mcp_config.json").write_text(
            json.dumps(dict(servers or CLOCK)), encoding="utf-8"
        )
        for name, content in (files or {}).items():
            (folder / name).write_text(content, encoding="utf-8")
        text = yaml.safe_dump({"type": COMPONENT, "attributes": dict(attributes)})
        (folder / "defs.yaml").write_text(text, encoding="utf-8")
        with sandbox.build_all_defs() as definitions:
            yield definitions


def assets_of(definitions: dg.Definitions) -> list[dg.AssetsDefinition]:
    return [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
