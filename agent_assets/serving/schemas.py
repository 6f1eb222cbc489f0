"""What the API takes and gives, as types: the OpenAPI document is made from them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agent_assets.store.partition_keys import MAX_KEY_CHARS, as_partition_key

ElderId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_KEY_CHARS,
        description="An elder's id as MongoDB stores it, or the partition key.",
        examples=["shen-fu"],
    ),
    AfterValidator(as_partition_key),
]
NewId = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$", examples=["shen-fu-2"])
]
Text = Annotated[
    str, Field(min_length=1, max_length=20_000, pattern=r"\S", description="Not blank.")
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TrainStart(_Request):
    """Start what is stale of one elder."""

    elder_id: ElderId
    elder_name: str = Field(
        "长辈", max_length=200, description="Kept for older clients; the name comes from MongoDB."
    )
    force_retrain: bool = Field(
        False, description="Go through all assets; what is fresh is still reused."
    )


class TrainStarted(BaseModel):
    """`job_id` is null when nothing was stale."""

    success: bool
    message: str
    job_id: str | None
    elder_id: str


class JobProgress(BaseModel):
    """How far a job is. `eta` counts those before it in the queue; once the job has the device it
    never grows. It is null when nothing can be said. `message` says for what a job waits.
    """

    job_id: str
    elder_id: str
    status: Literal["preparing", "training", "completed", "failed", "cancelled"]
    message: str | None
    progress: float
    current_epoch: int
    total_epochs: int
    current_step: int
    total_steps: int
    eta: str | None
    eta_seconds: int | None
    stage: str | None
    error: str | None
    logs: list[str]


class NoTraining(BaseModel):
    """No job of that elder is known."""

    elder_id: str
    status: Literal["no_training"] = "no_training"
    message: str


class ActiveJob(BaseModel):
    """A job that waits or goes on. `message` says for what it waits."""

    job_id: str
    elder_id: str
    status: str
    message: str | None


class ActiveJobs(BaseModel):
    """Jobs that wait or go on; `total` counts all of them. The pace is that of recent jobs, `eta`
    the end of the last of all that want the device. Both are null before the first job ended.
    """

    total: int
    jobs: list[ActiveJob]
    jobs_per_hour: float | None
    eta: str | None
    eta_seconds: int | None


class HistoryMessage(_Request):
    """One earlier message. The system prompt is the agent's own: a client cannot send one."""

    role: Literal["user", "assistant"]
    content: str = Field(max_length=20_000)


class ChatRequest(_Request):
    """A message to an agent."""

    elder_id: ElderId
    message: Text
    conversation_history: list[HistoryMessage] = Field(default_factory=list, max_length=1000)


class ChatReply(BaseModel):
    """What the agent said; `memory_ids` are the memories it cites and was given by its tools."""

    elder_id: str
    message: str
    response: str
    model_name: str
    memory_ids: list[str]
    stop_reason: str


class ModelEntry(BaseModel):
    """One released agent: `name` is the version that answers, `size` its adapter in bytes."""

    name: str
    id: str
    size: int
    modified: str


class ModelList(BaseModel):
    """A page of released agents; `total` counts all of them."""

    total: int
    models: list[ModelEntry]


class ModelDetails(BaseModel):
    """An agent and what is known of the version that answers: versions, scores, sizes, lineage."""

    name: str
    elder_id: str
    details: dict[str, Any]


class Done(BaseModel):
    """Something was done."""

    success: bool
    message: str


class CopyRequest(_Request):
    """Under which id the copy answers."""

    to: NewId


class ExportedRows(BaseModel):
    """Where the training rows of an elder are, on the machine of this server."""

    success: bool
    elder_id: str
    jsonl_path: str


class CompletionMessage(BaseModel):
    """One message of an OpenAI chat; further fields are passed on as they are."""

    model_config = ConfigDict(extra="allow")
    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str | list[dict[str, Any]] | None = None


class CompletionRequest(BaseModel):
    """An OpenAI chat completion, as vLLM understands it; `model` is an id or a name of GET
    /v1/models.
    """

    model_config = ConfigDict(extra="forbid")
    model: str = Field(min_length=1, max_length=MAX_KEY_CHARS + 20)
    messages: list[CompletionMessage] = Field(min_length=1, max_length=1000)
    tools: list[dict[str, Any]] | None = Field(None, max_length=128)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=100_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=100_000)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = Field(None, max_length=1000)
    n: Literal[1] | None = None
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    user: str | None = Field(None, max_length=200)


class Problem(BaseModel):
    """An error (RFC 9457), with what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    next_step: str | None = None
    request_id: str
