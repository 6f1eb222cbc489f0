"""The exception tree. Every message says what happened; `next_step` says what to do about it.

AgentAssetsError
├── ConfigError              a YAML file, mcp_config.json or environment variable is wrong
├── SourceError              something outside that data is read from
│   ├── MongoUnavailable     MongoDB does not answer
│   ├── MemoryDataError      an elder's answers cannot be used (none, bad id, not text)
│   └── BaseModelError       base weights are absent, changed or incompatible
├── ToolServerError          an MCP server is missing, slow, crashing, or lists a broken schema
├── TrainingDataError        no usable rows or items came out of synthesis
├── ExamError                a file of exam turns cannot be read, or names what is not there
├── LlmError                 a language model cannot be asked, or does not answer as it must
│   ├── LlmUnavailable       it did not answer in the time given, after retries
│   ├── LlmRefused           its server refuses the request
│   ├── LlmSpendCap          a spend cap is reached; every answer so far is kept
│   └── LlmModelChanged      another model answered
├── StoreError               the artifact store cannot be read or written
│   ├── CorruptArtifact      files differ from their manifest
│   ├── StoreFull            no space left on the device of the store
│   └── StoreReadOnly        the store may not be written to
├── ReleaseError             a release cannot be made, moved or read
│   └── ReleaseConflict      somebody else moved it at the same time
├── ExportError              a model or a bundle cannot be written out or taken in
├── ErasureError             an elder or a memory cannot be erased now
│   └── UnknownSubject       nothing is known of whom, or what, is to be erased
├── ReceiptError             receipts of erasures cannot be read, or their chain is broken
├── ServingError             the HTTP API cannot start or cannot answer
└── EngineError              a training, merging or inference program
    ├── EngineMissing        its environment is not installed
    ├── EngineFailed         it ended with an error
    ├── EngineTimeout        it ran past its time limit
    └── EngineOutOfMemory    it ran past its memory limit
"""


class AgentAssetsError(Exception):
    """Base of every error this product raises on purpose.

    Args:
        message: what happened, with ids and counts but never memory text or secrets.
        next_step: what the reader should do now; shown after the message.
    """

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        self.message = message
        self.next_step = next_step
        super().__init__(message if next_step is None else f"{message} Next: {next_step}")


class ConfigError(AgentAssetsError):
    """A YAML file, mcp_config.json or an environment variable is wrong."""


class SourceError(AgentAssetsError):
    """Something outside that data is read from failed."""


class MongoUnavailable(SourceError):
    """MongoDB does not answer, at the start or in the middle of a read."""


class MemoryDataError(SourceError):
    """An elder's answers cannot be used: none there, a bad elder id, or answers that are not
    text.
    """


class BaseModelError(SourceError):
    """Base weights are absent, changed or incompatible."""


class ToolServerError(AgentAssetsError):
    """An MCP server is missing, slow, crashing, or lists a broken schema."""


class TrainingDataError(AgentAssetsError):
    """No usable questions, rows or held-out items came out of synthesis."""


class ExamError(AgentAssetsError):
    """A file of exam turns cannot be read, or names what is not there."""


class LlmError(AgentAssetsError):
    """A language model cannot be asked, or does not answer as it must. Every answer so far is
    kept.
    """


class LlmUnavailable(LlmError):
    """A language model did not answer in the time given, after retries."""


class LlmRefused(LlmError):
    """The server of a language model refuses a request: a wrong key, an unknown model, a request it
    does not know.
    """

    def __init__(self, message: str, *, next_step: str | None = None, status: int = 0) -> None:
        self.status = status
        super().__init__(message, next_step=next_step)


class LlmSpendCap(LlmError):
    """A spend cap is reached."""


class LlmModelChanged(LlmError):
    """Another model answered than the one that was asked, or than the one that answered before."""


class StoreError(AgentAssetsError):
    """The artifact store cannot be read or written."""


class CorruptArtifact(StoreError):
    """The files of an artifact differ from its manifest."""


class StoreFull(StoreError):
    """No space is left where the store lives."""


class StoreReadOnly(StoreError):
    """This process may not write where the store lives."""


class ReleaseError(AgentAssetsError):
    """A release cannot be made, moved or read."""


class ReleaseConflict(ReleaseError):
    """Somebody else moved the release at the same time; nothing was changed."""


class ExportError(AgentAssetsError):
    """A model or a bundle cannot be written out, or is not what it says it is."""


class ErasureError(AgentAssetsError):
    """An elder or a memory cannot be erased now; nothing was changed, or the next start goes on."""


class UnknownSubject(ErasureError):
    """Nothing is known of the elder, or of the memory, that is to be erased."""


class ReceiptError(AgentAssetsError):
    """The receipts of erasures cannot be read, or their chain is broken."""


class ServingError(AgentAssetsError):
    """The HTTP API cannot start, or cannot answer a request."""


class EngineError(AgentAssetsError):
    """A training, merging or inference program did not do its work."""


class EngineMissing(EngineError):
    """The environment of an engine is not installed."""


class EngineFailed(EngineError):
    """An engine program ended with an error."""


class EngineTimeout(EngineError):
    """An engine program ran past its time limit."""


class EngineOutOfMemory(EngineError):
    """An engine program ran past its memory limit."""
