"""Exported rows read by the loaders of LLaMA-Factory, TRL and axolotl, their own code, with one
model's tokenizer. Prints for each the text it would train on, row by row.

    PYTHONPATH=.venvs/test-loaders .venvs/cpu/bin/python read_exported_rows.py MODEL SHAREGPT OPENAI
"""

import importlib.machinery
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import datasets
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.import_utils import is_torchaudio_available


def main(model: str, sharegpt: str, openai: str) -> None:
    """Read the two files."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    _without_sound()
    print(
        json.dumps(
            {
                "llamafactory": by_llama_factory(tokenizer, rows_of(sharegpt), sharegpt),
                "trl": by_trl(model, tokenizer, rows_of(openai)),
                "axolotl": by_axolotl(tokenizer, rows_of(openai)),
            },
            ensure_ascii=False,
        )
    )


def rows_of(path: str) -> Any:
    """A file as all three load it."""
    return datasets.load_dataset("json", data_files=path, split="train")


def by_llama_factory(tokenizer: Any, rows: Any, path: str) -> list[str]:
    """As `dataset_info.json` of docs/training-data.md tells it."""
    from llamafactory.data.converter import align_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.data.template import TEMPLATES

    columns = {"messages": "conversations", "system": "system", "tools": "tools"}
    entry = {"file_name": path, "formatting": "sharegpt", "columns": columns}
    (attributes,) = get_dataset_list(["rows"], {"rows": entry})
    usual = SimpleNamespace(
        streaming=False, preprocessing_num_workers=None, overwrite_cache=True, media_dir=""
    )
    aligned = align_dataset(rows, attributes, usual, SimpleNamespace(local_process_index=0))
    template = TEMPLATES["qwen"]
    texts = []
    for row in aligned:
        turns = template.encode_multiturn(
            tokenizer, row["_prompt"] + row["_response"], row["_system"], row["_tools"]
        )
        texts.append("".join(tokenizer.decode(ids) for turn in turns for ids in turn))
    return texts


def by_trl(model: str, tokenizer: Any, rows: Any) -> list[str]:
    """As its trainer of supervised fine-tuning prepares them."""
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(output_dir="trl", max_length=None, report_to=[], use_cpu=True, bf16=False)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=config,
        train_dataset=rows,
        processing_class=tokenizer,
    )
    return [tokenizer.decode(row["input_ids"]) for row in trainer.train_dataset]


def by_axolotl(tokenizer: Any, rows: Any) -> list[str]:
    """As `type: chat_template` reads them."""
    from axolotl.prompt_strategies.chat_template import load
    from axolotl.utils.dict import DictDefault

    config = DictDefault(
        {"sequence_len": 100_000, "train_on_inputs": False, "chat_template": "tokenizer_default"}
    )
    strategy = load(tokenizer, config, {"type": "chat_template", "field_messages": "messages"})
    texts = []
    for row in rows:
        read = strategy.tokenize_prompt(row)
        assert any(label >= 0 for label in read["labels"]), "nothing of it is learned"
        texts.append(tokenizer.decode(read["input_ids"]))
    return texts


def _without_sound() -> None:
    """LLaMA-Factory imports torchaudio for rows with sound; it has no build for this torch."""
    is_torchaudio_available()  # remembered: the others know that it is not there
    module = ModuleType("torchaudio")
    module.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = module


if __name__ == "__main__":
    main(*sys.argv[1:])
