"""LangChain against an API: `python langchain_client.py URL MODEL`. Prints what it got as JSON."""

import json
import sys
from typing import Any

from langchain_openai import ChatOpenAI
from openai import APIStatusError


def weather(city: str) -> str:
    """The weather of a city."""
    return city


def main(url: str, model: str) -> None:
    """One of everything."""
    chat = ChatOpenAI(base_url=url, api_key="EMPTY", model=model, max_retries=0, seed=-1)
    answer = chat.invoke([("system", "Be short."), ("human", "Hi")])
    pieces = [chunk.content for chunk in chat.stream("Hi")]
    (call,) = chat.bind_tools([weather]).invoke("Weather?").tool_calls
    unknown: dict[str, Any] = {}
    try:
        ChatOpenAI(base_url=url, api_key="EMPTY", model="nobody", max_retries=0).invoke("Hi")
    except APIStatusError as error:
        unknown = {"status": error.status_code, "message": str(error)}
    print(
        json.dumps(
            {
                "text": answer.content,
                "pieces": pieces,
                "call": {"name": call["name"], "arguments": call["args"]},
                "unknown": unknown,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
