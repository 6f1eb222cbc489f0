"""Which base model a pipeline has, and what of its settings follows from that."""

from pathlib import Path

from agent_assets.base_models.config import BaseModelConfig
from agent_assets.base_models.registry import BaseModels, read_base_models
from agent_assets.errors import ConfigError
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec


def pipeline_spec(config: PipelineConfig, folder: Path, file: Path) -> PipelineSpec:
    """A pipeline as loaded from a folder. A base model that cannot be found is an error of those
    who need it: agents that are released rest on the one in the store, and go on answering.

    Args:
        file: the base models of the installation.
    """
    try:
        by_name = "base_model" in config.model_fields_set and config.base_model.key is None
        known = BaseModels() if by_name else read_base_models(file)
        resolved = with_base_model(config, known, file)
    except ConfigError as error:
        return PipelineSpec(config, folder, base_problem=error)
    return PipelineSpec(resolved, folder, file.parent if resolved.base_model.key else None)


def base_model_key(config: PipelineConfig, known: BaseModels) -> str | None:
    """The key of a pipeline's base model; None where its own file describes it, or nothing does."""
    named = "base_model" in config.model_fields_set
    return config.base_model.key if named else known.current


def with_base_model(config: PipelineConfig, known: BaseModels, file: Path) -> PipelineConfig:
    """The configuration with the base model that its key stands for, and with what that model says
    of context and adapters wherever the pipeline does not say it itself.

    Args:
        known: the base models of the installation, read from `file`.

    Raises:
        ConfigError: there is no base model of that key.
    """
    key = base_model_key(config, known)
    base = config.base_model
    if key is not None:
        try:
            settings = known.settings(key, file)
        except ConfigError as error:
            raise ConfigError(
                f"Pipeline {config.name}: {error.message}", next_step=error.next_step
            ) from None
        # Not validated anew: a pipeline may not name a key and more, this one does both.
        base = BaseModelConfig.model_construct(**dict(settings), key=key)
    sft, rl = config.sft_adapter, config.rl
    if base.context_length is not None and "max_length" not in sft.model_fields_set:
        sft = sft.model_copy(update={"max_length": base.context_length})
    if base.context_length is not None and "max_model_len" not in rl.model_fields_set:
        rl = rl.model_copy(update={"max_model_len": base.context_length})
    if sft.lora_target_modules is None and base.lora_target_modules is not None:
        sft = sft.model_copy(update={"lora_target_modules": base.lora_target_modules})
    return config.model_copy(update={"base_model": base, "sft_adapter": sft, "rl": rl})
