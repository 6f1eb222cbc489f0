"""From the rollouts of a step to the groups that are learned from: what says nothing is left out, a
judge is asked.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_assets.conversations.messages import ToolSchema
from agent_assets.errors import EngineFailed
from agent_assets.rl.config import RlConfig
from agent_assets.rl.judge import Judge
from agent_assets.rl.rollouts import UNSCORED, Trajectory


@dataclass(frozen=True)
class Scoring:
    """How the groups of a run are scored."""

    config: RlConfig
    tools: Sequence[ToolSchema]
    judge: Judge | None

    async def keep(
        self, groups: Sequence[Sequence[Trajectory]], step: int
    ) -> tuple[list[list[Trajectory]], Counter[str]]:
        """The scored groups of one step, in their order, and what was left out.

        A group of which nothing can be learned is empty; trajectories that say nothing are missing
        in theirs.

        Args:
            step: from 1.

        Raises:
            EngineFailed: too many rollouts met a broken tool server, or the judge failed on every
                group.
        """
        excluded: Counter[str] = Counter()
        scored_groups: list[list[Trajectory]] = []
        for group in groups:
            scored = [trajectory for trajectory in group if trajectory.reward is not None]
            lost = [trajectory.stop_reason for trajectory in group if trajectory.reward is None]
            excluded.update(f"rollouts: {UNSCORED[reason]}" for reason in lost)
            excluded["groups: fewer than 2 rollouts"] += len(scored) < 2
            scored_groups.append(scored if len(scored) >= 2 else [])
        self._check_failed(excluded, sum(map(len, groups)))
        if self.judge is not None:
            judged = iter(
                await self.judge.score_groups(
                    [group for group in scored_groups if group], self.tools
                )
            )
            scores = [next(judged) if group else [] for group in scored_groups]
            excluded["groups: judge failed"] += sum(group is None for group in scores)
            scored_groups = [group or [] for group in scores]
            if not any(scored_groups):
                raise EngineFailed(
                    f"The judge {self.judge.config.model} failed on every group of step {step}.",
                    next_step="check rl.judge (base_url, model, key), or remove it: verifiable "
                    "rewards remain.",
                )
        return scored_groups, +excluded

    def _check_failed(self, excluded: Mapping[str, int], rollouts: int) -> None:
        failed = {why: count for why, count in excluded.items() if why.startswith("rollouts")}
        if sum(failed.values()) > self.config.max_failed_share * rollouts:
            causes = ", ".join(
                f"{count} {why.removeprefix('rollouts: ')}" for why, count in sorted(failed.items())
            )
            raise EngineFailed(
                f"{sum(failed.values())} of {rollouts} rollouts say nothing about the model "
                f"({causes}).",
                next_step="read the logs of the servers, or raise rl.rollout_seconds; "
                "materialize again to go on from "
                "the last checkpoint.",
            )
