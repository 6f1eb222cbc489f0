"""The fingerprint of an artifact: the hash of everything that went into it."""

import hashlib
from collections.abc import Mapping
from typing import Any

from agent_assets.conversations.messages import canonical_json


def fingerprint(
    *, asset: str, partition: str | None, code_version: str, inputs: Mapping[str, str], config: Mapping[str, Any]
) -> str:
    """Hash what an artifact is made from.

    Args:
        asset: name of the asset within its pipeline.
        partition: the partition, or None.
        code_version: version of the code of the stage.
        inputs: data version of every input, by name: upstream assets, and sources such as MongoDB.
        config: the part of the pipeline's configuration that the result depends on.

    Returns:
        32 hex digits.
    """
    parts = {
        "asset": asset,
        "partition": partition,
        "code_version": code_version,
        "inputs": dict(inputs),
        "config": dict(config),
    }
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:32]


def config_version(code_version: str, config: Mapping[str, Any]) -> str:
    """Code version as Dagster sees it: a change of code or of the configuration that matters makes an asset stale."""
    return f"{code_version}-{hashlib.sha256(canonical_json(dict(config)).encode()).hexdigest()[:8]}"
