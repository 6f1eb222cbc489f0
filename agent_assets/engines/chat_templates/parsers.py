"""Which of vLLM's parsers (`--tool-call-parser`) reads the calls that a chat template writes."""

from agent_assets.errors import BaseModelError

OURS = "hermes"  # reads the calls of our own template
# A parser by words of the templates whose calls it reads; the first that fits is taken. What each
# writes for a call stands behind it.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("qwen3_coder", ("<tool_call>", "<function=")),  # <function=name><parameter=p>value</parameter>
    ("hermes", ("<tool_call>", '"arguments"')),  # <tool_call>{"name": .., "arguments": ..}
    ("mistral", ("[TOOL_CALLS]",)),  # [TOOL_CALLS]name[ARGS]{..}
    ("gemma4", ("<|tool_call>",)),
    ("functiongemma", ("<start_function_call>",)),
    ("openai", ("<|channel|>commentary",)),
    ("llama3_json", ("<|start_header_id|>", '"parameters": ')),  # {"name": .., "parameters": ..}
)


def tool_call_parser(template: str) -> str | None:
    """The parser that fits a template's text; None where none is known."""
    plain = template.replace('\\"', '"')
    return next((parser for parser, words in _SIGNS if all(word in plain for word in words)), None)


def required_tool_call_parser(template: str) -> str:
    """As `tool_call_parser`.

    Raises:
        BaseModelError: none is known.
    """
    parser = tool_call_parser(template)
    if parser is None:
        raise BaseModelError(
            "No parser is known to read the tool calls that the base model's chat template writes.",
            next_step="Name one of vLLM's in `inference.tool_call_parser` of defs/serving.yaml.",
        )
    return parser
