"""Dagster runs: the instance, their progress, runs whose process is gone."""
