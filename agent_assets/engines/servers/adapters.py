"""Loading and unloading LoRA adapters in a running server. Never reuse a name: a server may cache what it answered."""

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

from agent_assets.errors import EngineFailed

_SECONDS = 120


def load_adapter(base_url: str, name: str, folder: Path) -> None:
    """Make the adapter in `folder` answer under `name`.

    Raises:
        EngineFailed: the server refused, or does not answer.
    """
    _post(base_url, "load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})


def unload_adapter(base_url: str, name: str) -> None:
    """Forget an adapter.

    Raises:
        EngineFailed: the server refused, or does not answer.
    """
    _post(base_url, "unload_lora_adapter", {"lora_name": name})


def _post(base_url: str, route: str, body: dict[str, str]) -> None:
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=_SECONDS)
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
            next_step="read the server's log; an adapter of another base model or a higher rank cannot be loaded.",
        )
