"""How tools are asked about and answered for: the wordings file of a pipeline, and the words made
where it has none.

A wordings file (YAML) says per tool and language which questions ask for it, as templates with
`{parameter}` slots, and which answers state its result (`{result}`):

    tools:
      get_price:
        parameters:                      # optional: what the schema does not say
          place: {said: {zh: {Sichuan: 四川}}}        # how a value is said in a language
          start_date: {first: 2025-01-01, last: 2025-06-30, days: [2, 4]}
          name: {values: [Ann, Bo]}      # values to choose from
          memory_id: {source: memory_id}   # filled in per elder, from their memories
          document: {from_tool: list_documents}       # values from the result of another tool
        en:
          questions: ["What was the price in {place} from {start_date} to {end_date}?"]
          answers: ["Price in {place}: {result}."]
    parameters:                          # the same, for every tool with such a parameter
      filename: {values: [report.docx]}
      table: {from_tool: {tool: list_tables, field: name, arguments: {schema: main}}}
      query: {from_tool: {tool: list_tables, template: "SELECT COUNT(*) FROM {value}"}}
    recall:                              # agents of elders only
      tool: search_memories
      parameter: query
      never_told: {en: {questions: [...], answers: [...]}}
    unanswerable: {en: {questions: [...], answers: [...]}}   # other agents: what no tool can answer

A question asks for exactly the arguments it has slots for; the slot `{day}` stands for both ends of
a range of one day. A hash of its text decides whether training uses a wording or only held-out
items do.
"""

import re
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from agent_assets.errors import ConfigError
from agent_assets.strict_model import LanguageKey, StrictModel, validation_problems
from agent_assets.synthesis.arguments.from_memories import MemorySource
from agent_assets.text.languages.rules import LANGUAGE_CODE, LanguageCode


class ValueSource(StrictModel):
    """A tool whose result lists values of a parameter. It has to be one that only reads."""

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict, description="Of its call.")
    field: str | None = Field(
        None,
        description="Key of the values in a JSON result; None takes those under the parameter's "
        "name, or `name`, `id`, `path` and the like, or all texts.",
    )
    pattern: str | None = Field(
        None, description="Regular expression that finds them in any result; its group, if any."
    )
    template: str | None = Field(
        None, description="Text that is the value, with `{value}` for what the result lists."
    )

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, block: Any) -> Any:
        return {"tool": block} if isinstance(block, str) else block


class ParameterHints(StrictModel):
    """What the schema does not say about one parameter."""

    values: list[Any] = Field(default_factory=list)
    first: date | None = None
    last: date | None = None
    days: tuple[int, int] = (2, 4)
    said: dict[LanguageKey, dict[str, str]] = Field(default_factory=dict)
    source: MemorySource | None = None
    from_tool: ValueSource | None = None


class LanguageTemplates(StrictModel):
    """Wordings of one tool in one language."""

    questions: list[str] = Field(default_factory=list)
    answers: list[str] = Field(default_factory=list)


class ToolTemplates(StrictModel):
    """Wordings of one tool."""

    parameters: dict[str, ParameterHints] = Field(default_factory=dict)
    languages: dict[LanguageKey, LanguageTemplates] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_languages(cls, block: Any) -> Any:
        """In the file, languages are beside `parameters`."""
        if not isinstance(block, dict) or "languages" in block:
            return block
        codes = {key for key in block if isinstance(key, str) and re.match(LANGUAGE_CODE, key)}
        rest = {key: value for key, value in block.items() if key not in codes}
        return {**rest, "languages": {code: block[code] for code in codes}} if codes else rest

    def language(self, language: LanguageCode) -> LanguageTemplates:
        """Wordings in one language; none when the file has none."""
        return self.languages.get(language, LanguageTemplates())


class RecallTemplates(StrictModel):
    """The tool that finds an elder's memories, its parameter, and questions whose answer nobody
    told.
    """

    tool: str
    parameter: str
    never_told: dict[LanguageKey, LanguageTemplates] = Field(default_factory=dict)


class TemplatesFile(StrictModel):
    """A whole wordings file."""

    tools: dict[str, ToolTemplates] = Field(default_factory=dict)
    parameters: dict[str, ParameterHints] = Field(default_factory=dict)
    recall: RecallTemplates | None = None
    unanswerable: dict[LanguageKey, LanguageTemplates] = Field(default_factory=dict)

    def of_tool(self, name: str) -> ToolTemplates:
        """The block of one tool; an empty one when the file has none."""
        return self.tools.get(name, ToolTemplates())

    def hints(self, tool: str) -> dict[str, ParameterHints]:
        """What the file says about parameters of a tool: its own block before that of all tools."""
        return {**self.parameters, **self.of_tool(tool).parameters}


def read_templates(path: Path | None) -> TemplatesFile:
    """Read a wordings file; None is an empty one.

    Raises:
        ConfigError: it is not YAML, or has a key it should not have.
    """
    if path is None:
        return TemplatesFile()
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
        problem = (
            "; ".join(validation_problems(error, whole="the file"))
            if isinstance(error, ValidationError)
            else str(error)
        )
        raise ConfigError(
            f"The wordings file {path.name} is wrong: {problem}.", next_step=f"correct {path.name}."
        ) from None


@lru_cache(maxsize=8)  # the elders of a night share one file
def _parse(text: str) -> TemplatesFile:
    return TemplatesFile.model_validate(yaml.safe_load(text) or {})
