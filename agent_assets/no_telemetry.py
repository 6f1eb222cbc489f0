"""Nothing leaves this machine unasked: the variables that switch off hubs, telemetry, usage
statistics and looks for newer versions in every library here, and in those that pipelines often
add.

The table counts in every process of an installation: commands and the code location set it for
themselves and their children, engines get it from `engines.environment`. Traces to W&B have two
settings of their own (`TRACES`, `WANDB_API_KEY`); nothing here is in their way.

Standard library only.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType

NO_TELEMETRY: Mapping[str, str] = MappingProxyType(
    {
        # asked by many: vLLM, Next.js tools, Hugging Face Spaces
        "DO_NOT_TRACK": "1",
        "DISABLE_TELEMETRY": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "SCARF_NO_ANALYTICS": "true",
        # Hugging Face: what is not here is not looked for there
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "False",
        "GRADIO_ANALYTICS_ENABLED": "False",
        # ms-swift: models are folders here; of ModelScope it would ask, of Hugging Face it may not
        "USE_HF": "1",
        "VLLM_USE_MODELSCOPE": "False",
        # vLLM: statistics; and the address of this machine, which it learns by a route to 8.8.8.8
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # trainers report to whoever is installed and has a key
        "WANDB_MODE": "disabled",
        "WANDB_ERROR_REPORTING": "false",
        "COMET_MODE": "disabled",
        "SWANLAB_MODE": "disabled",
        "NEPTUNE_MODE": "offline",
        "TRACKIO_DISABLE": "1",
        "UNSLOTH_DISABLE_STATISTICS": "1",
        # importing it fetches a list of prices
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        # a2a-sdk opens spans around requests, which would carry what people say
        "OTEL_INSTRUMENTATION_A2A_SDK_ENABLED": "false",
        # looks for newer versions
        "FASTMCP_CHECK_FOR_UPDATES": "off",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
)


def send_nothing() -> None:
    """Set the table for this process and all it starts, whatever stood there before."""
    os.environ.update(NO_TELEMETRY)
