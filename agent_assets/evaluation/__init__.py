"""Held-out items, metrics, comparison of systems, and the report."""
