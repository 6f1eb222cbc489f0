"""LiteLLM against an API: `python litellm_client.py URL MODEL`. Prints what it got as JSON."""

import json
import sys
from typing import Any

import litellm

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


def main(url: str, model: str) -> None:
    """One of everything."""
    litellm.drop_params = False
    hello: dict[str, Any] = {
        "model": f"openai/{model}",
        "api_base": url,
        "api_key": "EMPTY",
        "messages": [{"role": "user", "content": "Hi"}],
        "num_retries": 0,
    }
    answer = litellm.completion(**hello, seed=-1, top_k=20, user="u", metadata={"a": "b"})
    pieces = [c.choices[0].delta.content for c in litellm.completion(**hello, stream=True)]
    (call,) = litellm.completion(**hello, tools=[TOOL]).choices[0].message.tool_calls
    unknown: dict[str, Any] = {}
    try:
        litellm.completion(**hello | {"model": "openai/nobody"})
    except litellm.NotFoundError as error:
        unknown = {"status": error.status_code, "message": str(error)}
    function = call.function
    print(
        json.dumps(
            {
                "text": answer.choices[0].message.content,
                "pieces": pieces,
                "call": {"name": function.name, "arguments": json.loads(function.arguments)},
                "unknown": unknown,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
