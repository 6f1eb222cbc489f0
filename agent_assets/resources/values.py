"""Values that assets return, for assets that a user adds: ours keep theirs in the artifact
store.
"""

from pathlib import Path

import dagster as dg

from agent_assets.resources.fixed import NO_CONFIG


class ValuesResource(dg.IOManagerDefinition):
    """The default IO manager: pickled files below one folder.

    Dagster's own default has the folder in its configuration schema, where a run config can point
    it elsewhere, and what is read from there is unpickled.
    """

    def __init__(self, *, folder: Path) -> None:
        super().__init__(
            resource_fn=lambda context: dg.FilesystemIOManager(
                base_dir=str(folder)
            ).create_io_manager(context),
            config_schema=NO_CONFIG,
            description="Values that assets return.",
        )
