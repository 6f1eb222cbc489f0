"""What all tasks of one elder share."""

from dataclasses import dataclass

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import ToolSchema
from agent_assets.synthesis.config import RowsConfig
from agent_assets.synthesis.wordings import RecallTemplates, TemplatesFile
from agent_assets.text.languages.rules import LanguageCode


@dataclass(frozen=True)
class Elder:
    """One elder as rows are made for them.

    Args:
        language: that of the memories.
        asked_in: that of questions and fixed replies: another one where the wordings file has none
            in the elder's.
        memories: those that can be asked for, sorted by id.
        system: system prompt.
        tools: what the agent is offered.
        recall: how memories are asked for.
    """

    profile: ElderProfile
    language: LanguageCode
    asked_in: LanguageCode
    memories: tuple[Memory, ...]
    system: str
    tools: tuple[ToolSchema, ...]
    templates: TemplatesFile
    recall: RecallTemplates
    config: RowsConfig
