"""Programs that run in an engine environment, one per file: `python -m agent_assets.engines.programs.<name>`.

Each opens Dagster Pipes, reads its parameters from the extra `params`, and does its work in one plain function
`(params, report) -> result`, which tests call without Pipes.
"""
