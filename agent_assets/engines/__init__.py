"""Programs that run in an engine environment, and the launcher that starts them from a Dagster
step.
"""
