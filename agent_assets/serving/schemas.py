"""What the API takes and gives, as types: the OpenAPI document is made from them."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from agent_assets.serving.gate_decision import GateDecision
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
MAX_TEXT_CHARS = 20_000
Text = Annotated[
    str, Field(min_length=1, max_length=MAX_TEXT_CHARS, pattern=r"\S", description="Not blank.")
]


class _Request(BaseModel):
    """A body as older clients send it, too: what is not known is passed over, and null is what was
    not said.
    """

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_said(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value is not None}


class TrainStart(_Request):
    """Start what is stale of one elder."""

    elder_id: ElderId
    elder_name: str = Field(
        "长辈", max_length=200, description="Kept for older clients; the name comes from MongoDB."
    )
    force_retrain: bool = Field(
        False,
        description="Train again although nothing changed, with another seed; what depends on no "
        "chance is still reused.",
    )


class TrainStarted(BaseModel):
    """`job_id` is null when nothing was stale."""

    success: bool
    message: str
    job_id: str | None
    elder_id: str


class JobProgress(BaseModel):
    """How far a job is. `eta` counts those before it in the queue; once the job has the device it
    never grows. It is null when nothing can be said. `message` says for what a job waits, and
    what came of one that is completed; `gate` is what decided whether its version answers.
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
    gate: GateDecision | None
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
    """One earlier message. The system prompt is the agent's own: one that a client sends is passed
    over.
    """

    role: Literal["user", "assistant", "system"]
    content: str = Field("", max_length=MAX_TEXT_CHARS)


class ChatRequest(_Request):
    """A message to an agent: of an elder, or of a pipeline without elders."""

    elder_id: ElderId | None = None
    agent_id: ElderId | None = Field(
        None, description="The same as elder_id; also for an agent that is nobody's, by its name."
    )
    message: Text
    conversation_history: list[HistoryMessage] = Field(default_factory=list, max_length=1000)

    @model_validator(mode="after")
    def _one_agent(self) -> Self:
        if (self.elder_id or self.agent_id) is None:
            raise ValueError("say who is asked: elder_id or agent_id")
        if self.elder_id and self.agent_id and self.elder_id != self.agent_id:
            raise ValueError("elder_id and agent_id name two agents: send one of them")
        return self

    @property
    def agent(self) -> str:
        """Who is asked."""
        return self.elder_id or self.agent_id or ""


class ChatReply(BaseModel):
    """What the agent said; `elder_id` is the id of who was asked, `memory_ids` are the memories it
    cites and was given by its tools.
    """

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


class Problem(BaseModel):
    """An error (RFC 9457), with what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    next_step: str | None = None
    request_id: str
