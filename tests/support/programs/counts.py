"""Reports steps slowly, then a result."""

import time

from dagster_pipes import open_dagster_pipes

with open_dagster_pipes() as pipes:
    params = pipes.get_extra("params")
    for step in range(params["steps"]):
        pipes.report_custom_message(
            {
                "kind": "progress",
                "stage": "counting",
                "step": step,
                "total_steps": params["steps"],
                "loss": 1.5,
                "tokens": 100 * step,
                "eta_seconds": 2.0,
                "sample": "a memory",
            }
        )
        time.sleep(params["pause"])
    pipes.report_custom_message(
        {"kind": "result", "padding": "x" * params.get("padding", 0), "sum": params["steps"]}
    )
