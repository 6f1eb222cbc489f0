"""agent-assets: agents trained, evaluated and served from memories and tools, as a Dagster asset
graph.

`agent_assets.AgentPipeline` is the component that a `defs.yaml` names, registered for `dg`. It is
imported when it is asked for: engine programs import this package without Dagster.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_assets.pipeline.component import AgentPipeline

__all__ = ["AgentPipeline"]


def __getattr__(name: str) -> object:
    if name == "AgentPipeline":
        from agent_assets.pipeline.component import AgentPipeline

        return AgentPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
