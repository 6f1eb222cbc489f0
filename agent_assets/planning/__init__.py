"""The plan: what is fresh, stale or missing and why, which elders changed, and which runs to ask
for.
"""
