"""Programs that run in an engine environment, one per file: `python -m
agent_assets.engines.programs.<name>`.

Parameters and results of each are in `engines/contracts.py` and `engines/rl_contracts.py`. Its
work is one plain function `(params, report) -> result`, or `(params, say)` for a program that
stays, which tests call without Dagster Pipes. To add one: two dataclasses and a `Program` there,
and a file here that ends in `run_under_pipes` (`run_resident`).
"""
