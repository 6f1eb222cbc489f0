"""The fingerprint of an artifact: the hash of everything that went into it."""

import hashlib
import re
from collections.abc import Mapping
from json.encoder import encode_basestring

from agent_assets.conversations.messages import canonical_json

_TAG_VALUE = re.compile(r"[A-Za-z0-9_.-]{1,63}")


def fingerprint(
    *,
    asset: str,
    partition: str | None,
    code_version: str,
    inputs: Mapping[str, str],
    config: Mapping[str, object],
    incarnation: int = 0,
) -> str:
    """Hash what an artifact is made from.

    Args:
        asset: name of the asset within its pipeline.
        partition: the partition, or None.
        code_version: version of the code of the stage.
        inputs: data version of every input, by name: upstream assets, and sources such as MongoDB.
        config: the part of the pipeline's configuration that the result depends on.
        incarnation: how often an elder of this id was removed before; the next one inherits
            nothing.

    Returns:
        32 hex digits.
    """
    parts: dict[str, object] = {
        "asset": asset,
        "partition": partition,
        "code_version": code_version,
        "inputs": dict(inputs),
        "config": dict(config),
    }
    if incarnation:
        parts["generation"] = incarnation
    return _digest(canonical_json(parts))


class FingerprintTemplate:
    """`fingerprint` for many partitions of one stage: what they share is written as JSON once."""

    def __init__(self, *, asset: str, code_version: str, config: Mapping[str, object]) -> None:
        shared = {"asset": asset, "code_version": code_version, "config": dict(config)}
        self._start = canonical_json(shared)[:-1]

    def fingerprint(
        self, partition: str | None, inputs: Mapping[str, str], incarnation: int = 0
    ) -> str:
        """The same 32 hex digits that `fingerprint` returns."""
        # The keys of canonical JSON are sorted: asset, code_version, config, generation, inputs,
        # partition.
        pairs = ",".join(
            f"{encode_basestring(name)}:{encode_basestring(inputs[name])}"
            for name in sorted(inputs)
        )
        salt = f',"generation":{incarnation}' if incarnation else ""
        end = "null" if partition is None else encode_basestring(partition)
        return _digest(f'{self._start}{salt},"inputs":{{{pairs}}},"partition":{end}}}')


def config_version(code_version: str, config: Mapping[str, object]) -> str:
    """Code version as Dagster sees it: a change of code or of the configuration that matters makes
    an asset stale.
    """
    return f"{code_version}-{hashlib.sha256(canonical_json(dict(config)).encode()).hexdigest()[:8]}"


def source_version(digest: str) -> str:
    """The digest of a source in a form that Dagster takes as a tag value: as it is, or 32 hex
    digits of its hash.
    """
    return (
        digest if _TAG_VALUE.fullmatch(digest) else hashlib.sha256(digest.encode()).hexdigest()[:32]
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
