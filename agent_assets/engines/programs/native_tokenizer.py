"""A base model's tokenizer with the chat template that it came with, checked before anything is
trained on it.
"""

import copy
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from agent_assets.conversations.rendering.native_rows import NativeRows
from agent_assets.conversations.rendering.template_environment import (
    TOKENIZER_FILE,
    compiled_template,
)
from agent_assets.engines.chat_templates.choice import TEMPLATE_FILE
from agent_assets.engines.chat_templates.native import (
    ASKED,
    adapted_template,
    check_speaks,
    knows_one_call,
)
from agent_assets.engines.chat_templates.parsers import OURS, tool_call_parser
from agent_assets.errors import BaseModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_COMPACT = "Use another model, or `base_model.chat_template: compact` for a ChatML model."


def save_native(
    tokenizer: "PreTrainedTokenizerBase", name: str, out_dir: Path, *, thinking: bool
) -> str | None:
    """Write tokenizer and template into a folder that already has the model's configuration.

    Args:
        name: what errors call the model.

    Returns:
        The token that pads, where the tokenizer has none of its own.

    Raises:
        BaseModelError: there is no template, or agents cannot speak by it.
    """
    source = _own_template(tokenizer, name)
    padding = with_padding(tokenizer, name)
    tokenizer.save_pretrained(str(out_dir))
    if not (out_dir / TOKENIZER_FILE).is_file():
        raise BaseModelError(
            f"The tokenizer of {name} cannot be written as {TOKENIZER_FILE}.", next_step=_COMPACT
        )
    _write(out_dir, adapted_template(source, thinking=thinking))
    _check_compiles(out_dir, name)
    if knows_one_call(NativeRows(out_dir)):
        _write(out_dir, adapted_template(source, thinking=thinking, one_call=True))
    rows = NativeRows(out_dir)
    check_speaks(rows, name)
    _check_tokens(rows, name, out_dir)
    return padding


def with_padding(tokenizer: "PreTrainedTokenizerBase", name: str) -> str | None:
    """Have a tokenizer pad with the token that ends, where it names none that pads.

    Returns:
        That token; None where it has one of its own.

    Raises:
        BaseModelError: it names neither.
    """
    if tokenizer.pad_token is not None:
        return None
    # Padded places are masked, so any token will do; this is the one that trainers take.
    if tokenizer.eos_token is None:
        raise BaseModelError(
            f"The tokenizer of {name} names neither a token that pads nor one that ends.",
            next_step="Add `eos_token` to its tokenizer_config.json.",
        )
    tokenizer.pad_token = tokenizer.eos_token
    return str(tokenizer.eos_token)


def template_it_came_with(
    tokenizer: "PreTrainedTokenizerBase", name: str, model_dir: Path
) -> str | None:
    """The template that a model came with, for asking the untrained one beside agents that speak
    by ours; None where it cannot say what agents say, or its calls need another parser.

    Args:
        model_dir: folder with the model's configuration; nothing is written there.
    """
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for path in model_dir.glob("*config.json"):
            shutil.copyfile(path, folder / path.name)
        try:
            save_native(copy.deepcopy(tokenizer), name, folder, thinking=False)
        except BaseModelError:
            return None
        template = (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
    return template if tool_call_parser(template) == OURS else None


def _own_template(tokenizer: "PreTrainedTokenizerBase", name: str) -> str:
    """The template; of several the one for tools."""
    try:
        return str(tokenizer.get_chat_template(tools=[{}]))
    except ValueError:
        raise BaseModelError(
            f"The tokenizer of {name} came without a chat template.", next_step=_COMPACT
        ) from None


def _check_compiles(out_dir: Path, name: str) -> None:
    from jinja2 import TemplateError

    try:
        compiled_template((out_dir / TEMPLATE_FILE).read_text(encoding="utf-8"))
    except TemplateError as error:
        raise BaseModelError(
            f"The chat template of {name} is no Jinja template: {error}", next_step=_COMPACT
        ) from None


def _check_tokens(rows: NativeRows, name: str, out_dir: Path) -> None:
    """Training counts tokens by the file, serving by transformers: both have to find the same."""
    from transformers import AutoTokenizer

    text = rows.text(ASKED, prompt=True)
    tokenizer = AutoTokenizer.from_pretrained(str(out_dir))
    if tokenizer(text, add_special_tokens=False)["input_ids"] != rows.ids(text):
        raise BaseModelError(
            f"The tokenizer of {name} reads a text otherwise than its {TOKENIZER_FILE} says.",
            next_step="Install the versions that deploy/requirements names, or use another model.",
        )


def _write(folder: Path, template: str) -> None:
    # As text, not through the tokenizer: a template is compared byte by byte before training.
    (folder / TEMPLATE_FILE).write_text(template, encoding="utf-8")
