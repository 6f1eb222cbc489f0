"""Which teacher a stage has: a language model where one is configured, the scripted one otherwise.

Which one it is, is part of the fingerprint: the model's name, the version of our prompts, the
settings that change its answers. Never the key, nor where the model is asked.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent_assets.errors import ConfigError
from agent_assets.llm.config import LlmConfig, TeacherChoice
from agent_assets.settings import teacher_environment
from agent_assets.synthesis.config import TEACHER_PROMPTS

if TYPE_CHECKING:
    from agent_assets.llm.client import LlmClient
    from agent_assets.pipeline.stage import StageRun

SCRIPTED: Mapping[str, object] = {"kind": "scripted"}


def teacher_identity(choice: TeacherChoice, config: LlmConfig) -> Mapping[str, object]:
    """The teacher as fingerprints and metadata name it."""
    environment = teacher_environment()
    if choice == "scripted" or (choice == "auto" and environment.api_key is None):
        return SCRIPTED
    # A missing name is an error when the stage runs, not when the code location loads.
    return {
        "kind": "llm",
        "model": environment.model,
        "prompts": TEACHER_PROMPTS,
        **config.fingerprint_settings(),
    }


def llm_client(run: "StageRun", choice: TeacherChoice) -> "LlmClient | None":
    """A client for the language model that teaches; None when the teacher is the scripted one.

    Raises:
        ConfigError: there is no key although `llm` is asked for, or no name of a model.
    """
    if teacher_identity(choice, run.config.llm) == SCRIPTED:
        return None
    from agent_assets.llm.answer_cache import AnswerCache
    from agent_assets.llm.client import LlmClient, LlmEndpoint

    environment = teacher_environment()
    if environment.api_key is None:
        raise ConfigError(
            f"Pipeline {run.config.name} wants a language model as its teacher, and OPENAI_API_KEY "
            "is not set.",
            next_step="set it (any text where the endpoint wants no key), or set `teacher: "
            "scripted`.",
        )
    if environment.model is None:
        raise ConfigError(
            "OPENAI_API_KEY is set, and TEACHER_MODEL is not: no language model is named as the "
            "teacher.",
            next_step="set TEACHER_MODEL to a model of the endpoint, or set `teacher: scripted` "
            "for questions and "
            "train_jsonl in defs.yaml.",
        )
    endpoint = LlmEndpoint(environment.base_url, environment.model, environment.api_key)
    return LlmClient(endpoint, run.config.llm, AnswerCache(run.llm_folder))
