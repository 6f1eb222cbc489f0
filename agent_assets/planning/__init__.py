"""Fingerprints and what Dagster recorded: the facts that decide what is fresh."""
