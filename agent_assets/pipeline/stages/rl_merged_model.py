"""Stage `rl_merged_model`: base weights with the adapter of RL merged in, proven as `merged_model`
is.
"""

from agent_assets.pipeline.stages.merged_model import merging_stage
from agent_assets.pipeline.stages.rl_checkpoint import present

STAGE = merging_stage(
    name="rl_merged_model",
    adapter="rl_checkpoint",
    present=present,
    description="Base weights with the adapter of reinforcement learning merged in, as "
    "safetensors with tokenizer "
    "and chat template. Proven equal to base + adapter on fixed prompts.",
)
