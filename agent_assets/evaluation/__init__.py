"""Held-out items, metrics, comparison of variants, and the report."""
