"""A stage that makes something else under the same `code_version` is found here, before any store
has both.

The stages that need an engine environment are compared where they all run, in the test of a whole
chain (tests/integration/pipeline).
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo.database import Database

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import ElderRecord
from agent_assets.resources.store import StoreResource
from support.recorded_versions import Made, check_recorded, made_in
from support.yaml_pipelines import assets_of, loaded

MEMORIES = (
    ("What did your father make?", "My father made candles and soap in a shop in Milk Street."),
    (
        "Where did you learn to swim?",
        "I learned to swim in the mill pond behind the tannery when I was eight.",
    ),
    (
        "Who taught you to bake?",
        "My aunt Ruth taught me to bake rye bread in her stone oven in 1931.",
    ),
    (
        "What was your first job?",
        "At fourteen I carried letters for the harbour master of Rostock.",
    ),
    ("Which animal did you keep?", "We kept a grey goat called Minna that ate my school books."),
    (
        "What did you do on Sundays?",
        "On Sundays we walked to the chapel on the hill and picked blackberries.",
    ),
)
SERVERS = {
    "mcpServers": {
        "memories": {
            "command": "${python}",
            "args": ["-m", "agent_assets.tool_servers.memory", "--memories", "${memories}"],
            "transport": "stdio",
        }
    }
}
Document = dict[str, Any]
STAGES = ("mcp_tool_schema", "questions", "elder_memories", "train_jsonl")


@dataclass(frozen=True)
class OneElder:
    """A database with one elder, and a real one beside it for what people said of answers."""

    db: Database[Document]

    def read_elder(
        self, elder_id: str, layout: MongoLayout, *, max_answer_chars: int
    ) -> ElderRecord:
        memories = [
            Memory(f"m{n}", question, answer) for n, (question, answer) in enumerate(MEMORIES)
        ]
        return ElderRecord(
            ElderProfile(elder_id, "Ada Brown", "en", {"hobby": "chess"}), tuple(memories)
        )


def make_rows(folder: Path, database: Database[Document]) -> dict[str, Made]:
    attributes = {
        "name": "elder",
        "partitions": "elders",
        "questions": {
            "teacher": "scripted",
            "wordings": "wordings.yaml",
            "per_tool": 6,
            "heldout_per_tool": 2,
        },
        "train_jsonl": {"teacher": "scripted", "closed_per_memory": 1, "memory_tool_questions": 4},
    }
    wordings = {
        "wordings.yaml": Path(__file__).with_name("wordings.yaml").read_text(encoding="utf-8")
    }
    with (
        loaded(attributes, SERVERS, wordings) as definitions,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        instance.add_dynamic_partitions("elders", ["ada"])
        result = dg.materialize(
            assets_of(definitions),
            instance=instance,
            partition_key="ada",
            selection=[dg.AssetKey(["elder", name]) for name in STAGES],
            resources={
                "store": StoreResource(root=str(folder / "store"), cache=str(folder)),
                "mongo": dg.ResourceDefinition.hardcoded_resource(OneElder(database)),
                "engines": LocalEngines(environments=str(folder), device="cpu", home=str(folder)),
            },
        )
    assert result.success
    return made_in(folder / "store" / "elder", STAGES)


def test_stages_without_an_engine_make_what_they_made(
    tmp_path: Path, mongo_db: Database[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    check_recorded("elder", make_rows(tmp_path, mongo_db))


def made(**changed: Made) -> dict[str, Made]:
    usual = {
        "questions": Made("1", (), {"data_version": "a"}),
        "rows": Made("4", ("questions",), {"data_version": "b", "loss": [1.0, 0.5]}),
    }
    return usual | changed


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "recorded.json"
    with monkeypatch.context() as patch:
        patch.setenv("AGENT_ASSETS_RECORD", "1")
        check_recorded("p", made(), file)
    monkeypatch.delenv("AGENT_ASSETS_RECORD", raising=False)
    return file


def test_a_changed_output_names_the_stage_whose_code_version_has_to_be_raised(
    recorded: Path,
) -> None:
    check_recorded("p", made(), recorded)
    check_recorded(
        "p",
        made(rows=Made("4", ("questions",), {"data_version": "b", "loss": [1.001, 0.5]})),
        recorded,
    )
    rows = Made("4", ("questions",), {"data_version": "c", "loss": [1.0, 0.5]})
    with pytest.raises(
        pytest.fail.Exception,
        match=r"rows makes something else \(data_version\) under code_version 4",
    ):
        check_recorded("p", made(rows=rows), recorded)
    with pytest.raises(
        pytest.fail.Exception, match="rows has code_version 5, which is not recorded: record anew"
    ):
        check_recorded("p", made(rows=replace(rows, code_version="5")), recorded)


def test_what_was_given_something_else_is_not_blamed(recorded: Path) -> None:
    changed = {
        "questions": Made("1", (), {"data_version": "z"}),
        "rows": Made("4", ("questions",), {"data_version": "y", "loss": [1.0, 0.5]}),
    }
    with pytest.raises(pytest.fail.Exception) as caught:
        check_recorded("p", changed, recorded)
    assert "questions makes something else" in str(caught.value) and "rows makes" not in str(
        caught.value
    )
    assert "p" in json.loads(recorded.read_text(encoding="utf-8"))
