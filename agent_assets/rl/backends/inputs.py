"""What every backend trains from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_assets.agent.loop import ToolCaller
from agent_assets.conversations.messages import ToolSchema
from agent_assets.rl.scenarios.scenarios import Scenario


@dataclass(frozen=True)
class TrainingInputs:
    """The policy that is trained further, and what it acts on.

    Args:
        model_dir, adapter_dir: the base model, and the SFT adapter where training starts.
        scenarios: to train on.
        tools, toolbox: what the policy may call, and what answers.
    """

    model_dir: Path
    adapter_dir: Path
    scenarios: Sequence[Scenario]
    tools: Sequence[ToolSchema]
    toolbox: ToolCaller
