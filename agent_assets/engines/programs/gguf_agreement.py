"""How a GGUF file, read by llama.cpp, agrees with the weights that it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_assets.engines.export_contracts import FileAgreement
from agent_assets.engines.programs.swift_merge import PROMPTS

ANSWER_TOKENS = 32
_ROOM = 8  # positions beyond what is read


@dataclass(frozen=True)
class Expected:
    """A prompt, and what the weights say in float32.

    Args:
        ids: of the prompt and of the greedy answer, `prompt_length` of them of the prompt.
        likely: behind each of the ids, the token that is most likely next.
    """

    text: str
    ids: list[int]
    prompt_length: int
    likely: list[int]


def expected_answers(model_dir: Path, system_prompt: str | None) -> list[Expected]:
    """What the weights answer to the fixed prompts, one of them under the agent's own system
    prompt.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(str(model_dir))
    model = AutoModelForCausalLM.from_pretrained(str(model_dir), dtype=torch.float32)
    model = model.to(device).eval()
    prompts = list(PROMPTS)
    if system_prompt:
        prompts.append([{"role": "system", "content": system_prompt}, *PROMPTS[0]])
    expected = []
    for prompt in prompts:
        text = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"].to(device)
        with torch.inference_mode():
            # Every answer has the same length, with or without an end.
            answered = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=ANSWER_TOKENS,
                min_new_tokens=ANSWER_TOKENS,
                pad_token_id=0,
            )
            likely = model(input_ids=answered).logits[0].argmax(-1)
        expected.append(Expected(text, answered[0].tolist(), ids.shape[1], likely.tolist()))
    return expected


def agreement(file: Path, expected: Sequence[Expected]) -> FileAgreement:
    """What llama.cpp finds most likely behind every token of the prompts and answers, compared."""
    import torch
    from cyllama.llama import llama_cpp

    llama_cpp.disable_logging()
    on_cpu = llama_cpp.LlamaModelParams()
    on_cpu.n_gpu_layers = 0
    model = llama_cpp.LlamaModel(path_model=str(file), params=on_cpu, verbose=False)
    settings = llama_cpp.LlamaContextParams()
    length = max(len(one.ids) for one in expected) + _ROOM
    settings.n_ctx = settings.n_batch = settings.n_ubatch = length
    settings.n_threads = settings.n_threads_batch = torch.get_num_threads()
    context = llama_cpp.LlamaContext(model, settings, verbose=False)
    greedy = llama_cpp.LlamaSampler(llama_cpp.LlamaSamplerChainParams())
    greedy.add_greedy()
    vocabulary = model.get_vocab()
    same_tokens, hits, answer_hits = True, 0, 0
    for one in expected:
        cut = vocabulary.tokenize(one.text, False, True)
        same_tokens = same_tokens and list(cut) == one.ids[: one.prompt_length]
        context.kv_cache_clear()
        batch = llama_cpp.LlamaBatch(n_tokens=len(one.ids), embd=0, n_seq_max=1)
        for position, token in enumerate(one.ids):
            batch.add(token, position, [0], True)
        context.decode(batch)
        same = [
            greedy.sample(context, position) == token for position, token in enumerate(one.likely)
        ]
        hits += sum(same)
        # Behind the last token of the prompt the answer begins; behind its own last one it is over.
        answer_hits += sum(same[one.prompt_length - 1 : -1])
    positions = sum(len(one.ids) for one in expected)
    return FileAgreement(
        prompts=len(expected),
        positions=positions,
        token_agreement=hits / positions,
        answer_agreement=answer_hits / (len(expected) * ANSWER_TOKENS),
        same_tokens=same_tokens,
    )
