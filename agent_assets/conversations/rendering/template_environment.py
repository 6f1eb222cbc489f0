"""Chat templates and tokenizers as model servers read them, and what they make of a text. Needs no
torch.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer

TEMPLATE_FILE, TOKENIZER_FILE = "chat_template.jinja", "tokenizer.json"
# The first words of a template that came with the model; our own has others.
NATIVE_MARK = "{#- The model's own chat template"


@dataclass(frozen=True)
class Rendered:
    """One text to learn from: `text` as the template writes it, token ids, and for each token
    whether the loss counts it (`loss_mask`).

    `spans` are start and end of the learned parts of the text.
    """

    text: str
    ids: list[int]
    loss_mask: list[bool]
    spans: list[tuple[int, int]]

    def runs(self) -> Iterator[tuple[str, bool]]:
        """The text in parts that are learned or not; together they are the text."""
        position = 0
        for start, end in self.spans:
            yield self.text[position:start], False
            yield self.text[start:end], True
            position = end
        if position < len(self.text):
            yield self.text[position:], False


def is_native(template: str) -> bool:
    """Whether a base model's template is the one that it came with."""
    return template.startswith(NATIVE_MARK)


@lru_cache(maxsize=8)
def compiled_template(source: str) -> "Template":
    """The template as transformers compiles it.

    Raises:
        jinja2.TemplateError: it is no Jinja template.
    """
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    return environment.from_string(source)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)


@lru_cache(maxsize=4)
def read_tokenizer(path: str) -> "Tokenizer":
    """The tokenizer in a file, which cuts no text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    return tokenizer
