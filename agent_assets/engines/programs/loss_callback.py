"""What follows a training of transformers step by step."""

from transformers import TrainerCallback, TrainerControl, TrainerState


class LossCallback(TrainerCallback):  # type: ignore[misc]
    """Is called with the numbers of every step that has a loss; transformers logs others, too."""

    def on_log(
        self,
        _: object,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **kwargs: object,
    ) -> None:
        """Pass on what belongs to a step."""
        if "loss" in logs:
            self.on_loss(state, logs)

    def on_loss(self, state: TrainerState, logs: dict[str, float]) -> None:
        """A step is done."""
        raise NotImplementedError
