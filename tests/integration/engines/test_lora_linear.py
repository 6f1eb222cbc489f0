"""Our LoRA operation against vLLM's own, in the engine environment: equal results, except where that one is wrong."""

import json
import subprocess

import pytest

from agent_assets.engines.environment import EngineEnv, engine_environment

pytestmark = pytest.mark.engine

# Two adapters mixed in a batch, then one alone, in the dtypes of a server; three slices as in a qkv layer.
PROGRAM = """
import json, torch
from types import SimpleNamespace
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
from agent_assets.engines.programs.vllm_api_server import patch, rows_by_adapter

def added(x, y, a, b, indices):
    wrapper = PunicaWrapperCPU(64, 4, "cpu")
    wrapper._token_lora_indices[:len(indices)] = indices
    wrapper.indices_len[0], wrapper.is_prefill = len(indices), False
    wrapper.rows_by_adapter = list(rows_by_adapter(indices))
    wrapper.add_lora_linear(y, x, a, b, 0.5, (32, 16, 16))
    return y

torch.manual_seed(0)
mixed, alone, none = torch.tensor([0, 0, 1, 1, 0, 1, 0, 1, 1]), torch.ones(9).long(), torch.full((9,), -1)
cases = []
for dtype in (torch.bfloat16, torch.float32):
    a = tuple(torch.randn(2, 1, 8, 64, dtype=dtype) for _ in range(3))
    b = tuple(torch.randn(2, 1, width, 8, dtype=dtype) for width in (32, 16, 16))
    x, y = torch.randn(9, 64, dtype=dtype), torch.randn(9, 64, dtype=dtype)
    cases += [(x, y, a, b, indices) for indices in (mixed, alone)]
theirs = [added(x, y.clone(), a, b, i) for x, y, a, b, i in cases]
patch()
ours = [added(x, y.clone(), a, b, i) for x, y, a, b, i in cases]
x, y, a, b, _ = cases[-1]
print(json.dumps({
    "differences": [float((one - two).abs().max() / one.abs().max()) for one, two in zip(theirs, ours)],
    "changed": float((theirs[0] - cases[0][1]).abs().max()),
    "untouched": bool((added(x, y.clone(), a, b, none) == y).all()),
}))
"""


def test_it_adds_what_vllms_does_and_leaves_tokens_without_an_adapter_alone(engine_env: EngineEnv) -> None:
    done = subprocess.run(
        [str(engine_env.python), "-c", PROGRAM], env=engine_environment({"VLLM_PLUGINS": "none"}),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert max(found["differences"]) < 1e-2 and found["changed"] > 1 and found["untouched"], found
