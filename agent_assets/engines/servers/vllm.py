"""vLLM: all that is its own. Its OpenAI server on a GPU as it is, on a CPU with our way to apply
adapters.
"""

import http.client
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from agent_assets.conversations.rendering.template_environment import is_native
from agent_assets.engines.base_settings import read_base_serving
from agent_assets.engines.chat_templates.parsers import OURS, required_tool_call_parser
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.servers.base import ServedModel, ServerCommand
from agent_assets.errors import ConfigError, EngineFailed

_MODULE = "vllm.entrypoints.openai.api_server"
_CPU_MODULE = "agent_assets.engines.servers.vllm_cpu"
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what it accepts as --max-lora-rank
_CPU_CACHE_GIB = 1
_ADAPTER_SECONDS = 120
_OVER_LENGTH = ("context length", "max_model_len")


class Vllm:
    """See `InferenceServer` for what each of these is."""

    name = "vllm"
    packages = ("vllm-cpu", "vllm")
    token_ids_body: Mapping[str, bool] = MappingProxyType({"return_token_ids": True})

    def command(self, env: EngineEnv, model: ServedModel, *, host: str, port: int) -> ServerCommand:
        """Its OpenAI server; environment "gpu" uses the leased GPU, every other one the CPU."""
        gpu = env.name == "gpu"
        arguments = [
            *(
                "--host",
                host,
                "--port",
                str(port),
                "--model",
                str(model.folder),
                "--served-model-name",
                model.name,
            ),
            *(
                "--max-model-len",
                str(model.max_model_len),
                "--max-num-seqs",
                str(model.max_concurrency),
            ),
            *_tool_arguments(model),
            *_adapter_arguments(model),
            *([] if model.compiled else ["--enforce-eager"]),
        ]
        arguments += _quantization(model, gpu=gpu)
        if gpu:
            arguments += ["--gpu-memory-utilization", str(model.gpu_memory_utilization)]
        # vLLM 0.32 dies when it splits a prompt whose request has a seed: their generators have no
        # offset
        else:
            arguments += ["--no-enable-chunked-prefill"]
        return ServerCommand(_MODULE if gpu else _CPU_MODULE, arguments, _variables(model, gpu=gpu))

    def is_over_length(self, message: str) -> bool:
        """By its words: it has no code for that."""
        return any(words in message for words in _OVER_LENGTH)

    def load_adapter(self, base_url: str, name: str, folder: Path) -> None:
        """By its route for runtime updates, which must never be reachable from outside."""
        _post(base_url, "load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})

    def unload_adapter(self, base_url: str, name: str) -> None:
        """By its route for runtime updates."""
        _post(base_url, "unload_lora_adapter", {"lora_name": name})


def _quantization(model: ServedModel, *, gpu: bool) -> list[str]:
    held = read_base_serving(model.folder).quantization
    if held is not None and not gpu:
        raise ConfigError(
            f"The base model is to be held as {held}, which takes a GPU.",
            next_step="leave `quantization` out of the base model's settings.",
        )
    return [] if held is None else ["--quantization", held]


def _tool_arguments(model: ServedModel) -> list[str]:
    path = model.folder / "chat_template.jinja"
    template = path.read_text(encoding="utf-8") if path.is_file() else ""
    chosen = ["--chat-template", str(path)] if path.is_file() else []
    parser = model.tool_call_parser or OURS
    if is_native(template):
        parser = model.tool_call_parser or required_tool_call_parser(template)
        # Text is handed over as text, as training hands it over: some templates, asked for parts,
        # write them otherwise.
        chosen += ["--chat-template-content-format", "string"]
    chosen += ["--trust-request-chat-template"] if model.templates_of_requests else []
    return [*chosen, "--enable-auto-tool-choice", "--tool-call-parser", parser]


def _adapter_arguments(model: ServedModel) -> list[str]:
    if not model.adapters and not model.max_loras:
        return []
    ranks = [
        json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))["r"]
        for path in model.adapters.values()
    ]
    ranks += [model.max_lora_rank] if model.max_loras else []
    rank = next((size for size in _LORA_RANKS if size >= max(ranks)), _LORA_RANKS[-1])
    modules = [f"{name}={path}" for name, path in sorted(model.adapters.items())]
    return [
        "--enable-lora",
        *("--max-loras", str(len(model.adapters) + model.max_loras), "--max-lora-rank", str(rank)),
        *(["--lora-modules", *modules] if modules else []),
    ]


def _variables(model: ServedModel, *, gpu: bool) -> dict[str, str]:
    # ms-swift registers a vLLM plugin that imports torchvision, which is not there.
    common = {"VLLM_PLUGINS": "none"}
    if model.max_loras:
        common["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    if gpu:
        return common
    threads = max(1, (len(os.sched_getaffinity(0)) - 1) // model.share)
    return common | {
        # Engine core and worker in one process: half the start-up time of two, and 0.7 GB less.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": str(_CPU_CACHE_GIB),
        # One core stays free for the HTTP server: with a thread on every core, each step waits for
        # the slowest, and beside other work one request at a time was measured 4 times slower.
        # Threads are not pinned to cores.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(threads),
    }


def _post(base_url: str, route: str, body: dict[str, str]) -> None:
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(
        address.hostname or "127.0.0.1", address.port, timeout=_ADAPTER_SECONDS
    )
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"{address.path}/{route}", json.dumps(body), headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise EngineFailed(
            f"The inference server did not answer to {route} ({type(error).__name__}).",
            next_step="read its log beside the artifact, or among the logs of the installation.",
        ) from None
    finally:
        connection.close()
    if status != 200:
        raise EngineFailed(
            f"The inference server refused {route} of {body['lora_name']} with status {status}.",
            next_step="read the server's log; an adapter of another base model or a higher rank "
            "cannot be loaded.",
        )
