"""What `POST /v1/chat/completions` takes, and what of it reaches the model server.

Clients send what their other servers know. What changes an answer of ours is passed on; the rest
(`store`, `metadata`, `service_tier`, `user`, ...) is passed over, never an error. Fields with which
a caller could run a template of their own in the model server, or reach into its caches, are among
the rest. Parts of a message that are no text are refused: the model server would fetch what their
URLs name, from this machine, or unpack what they hold.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from agent_assets.conversations.markers import described_without_markers, entry_without_markers
from agent_assets.conversations.messages import JsonObject
from agent_assets.store.partition_keys import MAX_KEY_CHARS

MOST_CHOICES = 8
_INT64 = 2**63 - 1
# Parts of a message that are text, and the field that has it.
_TEXT_FIELDS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "thinking": "thinking",
}


def _negative_is_unlimited(value: object) -> object:
    return None if isinstance(value, int | float) and value < 0 else value


def _minus_one_is_random(value: object) -> object:
    return None if value == -1 else value


Tokens = Annotated[int | None, Field(ge=1, le=_INT64), BeforeValidator(_negative_is_unlimited)]
Seed = Annotated[int | None, Field(ge=-_INT64, le=_INT64), BeforeValidator(_minus_one_is_random)]


class CompletionMessage(BaseModel):
    """One message of an OpenAI chat; further fields are passed on as they are."""

    model_config = ConfigDict(extra="allow")
    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str | list[dict[str, Any]] | None = None

    @field_validator("content")
    @classmethod
    def _text_alone(
        cls, content: str | list[dict[str, Any]] | None
    ) -> str | list[dict[str, Any]] | None:
        return [_text_part(part) for part in content] if isinstance(content, list) else content


class CompletionRequest(BaseModel):
    """An OpenAI chat completion, as vLLM understands it; `model` is an id or a name of GET
    /v1/models. Fields that are not listed are passed over.
    """

    model_config = ConfigDict(extra="ignore")
    model: str = Field(min_length=1, max_length=MAX_KEY_CHARS + 20)
    messages: list[CompletionMessage] = Field(min_length=1, max_length=1000)
    tools: list[dict[str, Any]] | None = Field(None, max_length=128)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: Tokens = Field(None, description="-1: as many as fit.")
    max_completion_tokens: Tokens = Field(None, description="-1: as many as fit.")
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = Field(None, max_length=1000)
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    seed: Seed = Field(None, description="-1: another one each time.")
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    # Not OpenAI's: vLLM's, and those of people who come from other servers.
    top_k: int | None = Field(None, ge=-1, le=_INT64)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0, le=2)
    min_tokens: int | None = Field(None, ge=0, le=_INT64)
    ignore_eos: bool | None = None
    stop_token_ids: list[int] | None = Field(None, max_length=1000)
    bad_words: list[str] | None = Field(None, max_length=1000)
    reasoning_effort: str | None = Field(None, max_length=20)
    chat_template_kwargs: dict[str, Any] | None = None
    enable_thinking: bool | None = Field(
        None, description="As `chat_template_kwargs.enable_thinking`."
    )

    def forwarded(self, model: str, system_prompt: str) -> JsonObject:
        """The body for the model server.

        Args:
            model: its name of the adapter.
            system_prompt: of the agent; the caller's own stands instead where there is one.
        """
        body = self.model_dump(exclude_none=True) | {"model": model, "stream": bool(self.stream)}
        body["messages"] = [_message(message) for message in body["messages"]]
        if not any(message["role"] == "system" for message in body["messages"]):
            body["messages"].insert(0, {"role": "system", "content": system_prompt})
        # The agent's own as well: what is in it was told by people.
        body["messages"] = [entry_without_markers(entry) for entry in body["messages"]]
        thinking = body.pop("enable_thinking", None)
        if thinking is not None:
            own = body.get("chat_template_kwargs", {})
            body["chat_template_kwargs"] = {"enable_thinking": thinking} | own
        if "tools" in body:
            body["tools"] = described_without_markers(body["tools"])
        # The model server refuses what belongs to something that is not there.
        absent = [] if self.stream else ["stream_options"]
        if not self.tools:
            absent += ["tools", "tool_choice", "parallel_tool_calls"]
        return {name: value for name, value in body.items() if name not in absent}


def _text_part(part: JsonObject) -> JsonObject:
    """A part of a message, its text and nothing else: the model server looks for URLs beside it,
    too.

    Raises:
        ValueError: it is a picture, a sound, a file, or has no text.
    """
    kind = part.get("type")
    field = _TEXT_FIELDS.get(kind) if isinstance(kind, str) else None
    if field is None:
        raise ValueError(
            "agents read text alone, and nothing is fetched from a URL: send parts of type `text`"
        )
    if not isinstance(part.get(field), str):
        raise ValueError(f"a part of type `{kind}` has its text in `{field}`")
    return {"type": "text", "text": part[field]}


def _message(message: JsonObject) -> JsonObject:
    """A message as a chat template takes it: templates know no `developer`, and some take an empty
    list of calls for calls.
    """
    if message["role"] == "developer":
        message = message | {"role": "system"}
    if not message.get("tool_calls", True):
        message = {name: value for name, value in message.items() if name != "tool_calls"}
    return message
