"""A language model for the numbers server, as a function of the request: it asks, calls and answers
like a good one.
"""

import json
import re
from typing import Any

from support.fake_openai import Reply, calls, says


def teach(request: dict[str, Any]) -> Reply:
    """The reply to a request, the same every time."""
    last = request["messages"][-1]
    if "response_format" in request:
        return questions(last["content"])
    if last["role"] == "tool":
        if last["content"].startswith("Error"):
            return says("I cannot look that up.")
        number = json.loads(request["messages"][-2]["tool_calls"][0]["function"]["arguments"])[
            "number"
        ]
        return says(f"Twice {number} is {last['content']}.")
    if "forget" in last["content"]:
        return calls(("forget", {"number": 5}))
    match = re.search(r"twice (\d+)", last["content"])
    if match is None:
        return says("I cannot look that up.")
    return calls(
        ("double", {"number": int(match.group(1))}),
        text="Let me see." if "7" in last["content"] else None,
    )


def questions(prompt: str) -> Reply:
    """As many questions as are wanted."""
    count = int(re.search(r"Write (\d+)", prompt).group(1))  # type: ignore[union-attr]
    if "`double`" in prompt:
        texts = [(f"What is twice {number}?", ["double"]) for number in range(1, count + 1)]
    elif "`forget`" in prompt:
        texts = [(f"Please forget {number}.", ["forget"]) for number in range(1, 6)]
    elif "none of these tools" in prompt:
        texts = [("Who painted that?", []), ("Which bus is late?", []), ("How tall is Anna?", [])]
    else:
        texts = [("What is twice 1000, and forget it?", ["double", "forget"])]
    entries = [
        {"text": text, "tools": tools, "difficulty": 1 + len(tools)} for text, tools in texts
    ]
    return says(json.dumps({"questions": entries}))
