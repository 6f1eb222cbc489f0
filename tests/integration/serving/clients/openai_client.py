"""OpenAI's SDK against an API: `python openai_client.py URL MODEL`. Prints what it got as JSON."""

import json
import sys
from typing import Any

from openai import APIStatusError, OpenAI

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


def main(url: str, model: str) -> None:
    """One of everything."""
    client = OpenAI(base_url=url, api_key="EMPTY", max_retries=0)
    chat: Any = client.chat.completions  # as its users call it: with fields it has no type for
    hello: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    answer = chat.create(
        **hello,
        seed=-1,
        store=True,
        metadata={"a": "b"},
        reasoning_effort="low",
        service_tier="auto",
        extra_body={"top_k": 20, "enable_thinking": False},
    )
    chunks = chat.create(**hello, stream=True, stream_options={"include_usage": True})
    called = chat.create(**hello, tools=[TOOL], parallel_tool_calls=False).choices[0].message
    function = called.tool_calls[0].function

    def failure(ask: Any) -> dict[str, Any]:
        try:
            ask()
        except APIStatusError as error:
            body: Any = error.body
            return {"status": error.status_code, "message": body["message"], "code": error.code}
        raise SystemExit("no error")

    print(
        json.dumps(
            {
                "models": [listed.id for listed in client.models.list()],
                "model": client.models.retrieve(model).id,
                "text": answer.choices[0].message.content,
                "pieces": [c.choices[0].delta.content for c in chunks if c.choices],
                "call": {"name": function.name, "arguments": json.loads(function.arguments)},
                "unknown": failure(lambda: chat.create(**hello | {"model": "nobody"})),
                "responses": failure(lambda: client.responses.create(model=model, input="Hi")),
                "embeddings": failure(lambda: client.embeddings.create(model=model, input="Hi")),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
