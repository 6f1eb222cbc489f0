"""Reading a reply of `/chat/completions`, whoever wrote it: what is not a completion is refused,
small gaps are filled.
"""

from typing import TYPE_CHECKING, Any

from agent_assets.agent.reply_forms import plain_message
from agent_assets.conversations.messages import Usage

if TYPE_CHECKING:
    from openai.types.chat.chat_completion import Choice

_FINISHED = {"stop", "length", "tool_calls", "content_filter", "function_call"}


class BadCompletion(Exception):
    """A reply that is not a completion. Always handled: the request is tried again."""


def read_completion(reply: Any) -> "Choice":
    """The first choice of a reply.

    Raises:
        BadCompletion: there is none, or it is not what the protocol says.
    """
    from openai.types.chat.chat_completion import Choice
    from pydantic import ValidationError

    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadCompletion("a reply without choices")
    first = choices[0]
    if isinstance(first.get("message"), dict):
        first = first | {"message": plain_message(first["message"])}
    finished = first.get("finish_reason")
    calls = isinstance(first.get("message"), dict) and first["message"]["tool_calls"]
    usual = "tool_calls" if calls else "stop"
    known = {
        "index": 0,
        **first,
        "finish_reason": finished if finished in _FINISHED else usual,
        "logprobs": None,
    }
    try:
        choice = Choice.model_validate(known)
    except ValidationError:
        raise BadCompletion("a reply whose message is malformed") from None
    # Arguments that are not text are the model's mistake, and answered as one (see
    # `chat_model.read_reply`).
    names = [
        call.function.name for call in choice.message.tool_calls or () if call.type == "function"
    ]
    try:
        "".join([choice.message.content or "", *names]).encode()
    except UnicodeEncodeError:
        raise BadCompletion("a reply with half a surrogate pair") from None
    return choice


def read_usage(reply: Any) -> Usage | None:
    """Tokens as the server counted them, of a reply that is not a completion too; None when it did
    not.
    """
    counted = reply.get("usage") if isinstance(reply, dict) else None
    if not isinstance(counted, dict):
        return None
    read, written = counted.get("prompt_tokens"), counted.get("completion_tokens")
    return Usage(read, written) if isinstance(read, int) and isinstance(written, int) else None


def same_model(requested: str, answered: str) -> bool:
    """Whether a server's name of a model is the one that was asked for: `gpt-4.1` is answered by
    `gpt-4.1-2025-04-14`.

    A provider before a slash and a tag `:latest` are left out; one name must begin with the other,
    at a boundary.
    """
    short, long = sorted((_bare(requested), _bare(answered)), key=len)
    return long.startswith(short) and (len(long) == len(short) or long[len(short)] in "-:@.")


def _bare(name: str) -> str:
    return name.casefold().rsplit("/", 1)[-1].removesuffix(":latest")
