"""In words, what changed between two builds of one artifact."""

from collections.abc import Mapping

UNCHANGED = "same inputs, code and configuration as before"


def explain_change(
    *,
    old_inputs: Mapping[str, str],
    new_inputs: Mapping[str, str],
    old_config: Mapping[str, object],
    new_config: Mapping[str, object],
    old_code: str,
    new_code: str,
) -> str:
    """Every difference, joined by "; ", or `UNCHANGED`. Names and settings only, never content."""
    causes = [
        f"{name} changed" for name in sorted(new_inputs) if new_inputs[name] != old_inputs.get(name)
    ]
    causes += [
        f"{name} is no longer an input" for name in sorted(set(old_inputs) - set(new_inputs))
    ]
    causes += [f"configuration: {change}" for change in config_changes(old_config, new_config)]
    if old_code != new_code:
        causes.append(f"code version {old_code} -> {new_code}")
    return "; ".join(causes) or UNCHANGED


def config_changes(
    old: Mapping[str, object], new: Mapping[str, object], prefix: str = ""
) -> list[str]:
    """`name old -> new` for every setting that differs, nested names joined by dots."""
    changes = []
    for name in sorted(set(old) | set(new)):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            changes += config_changes(before, after, f"{prefix}{name}.")
        elif before != after:
            changes.append(f"{prefix}{name} {before} -> {after}")
    return changes
