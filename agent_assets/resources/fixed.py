"""What resources have in common: a run cannot change them.

A field of a `ConfigurableResource` can be overridden by the run config of whoever launches a run: a
store that is somebody else's server, a folder whose `python` is executed. Its value also stands in
the configuration schema and in
the snapshot of every run: the password of MONGODB_URI. So values come from the environment of the
installation, stay inside the resource, and a run config that names one is refused by Dagster before
the run starts.
"""

from typing import Any

NO_CONFIG: dict[str, Any] = {}  # nothing; None would mean anything
