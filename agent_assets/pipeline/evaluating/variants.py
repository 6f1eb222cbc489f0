"""The variants of an agent: which artifact is the adapter of each, and the name it answers by."""

from collections.abc import Mapping

from agent_assets.pipeline.stage import StageRun
from agent_assets.store.artifact_store import Artifact

# By variant of a report: the adapter that serving loads, and the merge that carries the parity
# proof.
ADAPTERS: Mapping[str, tuple[str, str]] = {
    "sft": ("sft_adapter", "merged_model"),
    "rl": ("rl_checkpoint", "rl_merged_model"),
}


def adapters_of(run: StageRun) -> dict[str, Artifact]:
    """The adapters that this pipeline has, by variant, in the order of a report."""
    roles = run.having({variant: adapter for variant, (adapter, _) in ADAPTERS.items()})
    return {variant: run.inputs[adapter] for variant, adapter in roles.items()}


def content_name(run: StageRun, adapter: Artifact) -> str:
    """What a server knows an adapter by, `<partition>-<8 hex>`: never used twice for others, so
    that no cache of a server can mix two.
    """
    return f"{run.partition or run.config.name}-{adapter.manifest.data_version[:8]}"
