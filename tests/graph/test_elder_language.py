"""An elder whose language has no rules: the materialization of their memories says so, and the log
warns.
"""

from pathlib import Path

import dagster as dg
import pytest

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import ElderRecord
from agent_assets.resources.store import StoreResource
from support.yaml_pipelines import assets_of, loaded


class OneElder:
    """A database with one elder, who speaks a language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def read_elder(
        self, elder_id: str, layout: MongoLayout, *, max_answer_chars: int
    ) -> ElderRecord:
        memory = Memory("m", "Que vendait votre père ?", "Mon père vendait du pain.")
        return ElderRecord(ElderProfile(elder_id, "Ada", self.language), (memory,))


@pytest.mark.parametrize(
    ("language", "rules"), [("fr", "generic"), ("und", "generic"), ("en", "en"), ("zh", "zh")]
)
def test_memories_say_by_which_rules_they_are_read(
    language: str, rules: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    attributes = {"name": "elder", "partitions": "elders"}
    with (
        loaded(attributes, {"mcpServers": {}}, {}) as definitions,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        instance.add_dynamic_partitions("elders", ["ada"])
        result = dg.materialize(
            assets_of(definitions),
            instance=instance,
            partition_key="ada",
            selection=[dg.AssetKey(["elder", "elder_memories"])],
            resources={
                "store": StoreResource(root=str(tmp_path / "store"), cache=str(tmp_path)),
                "mongo": dg.ResourceDefinition.hardcoded_resource(OneElder(language)),
                "engines": LocalEngines(
                    environments=str(tmp_path), device="cpu", home=str(tmp_path)
                ),
            },
        )
        (event,) = result.get_asset_materialization_events()
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert (metadata["language"], metadata["language_rules"]) == (language, rules)
    warned = f"There are no rules for the language {language!r}" in capfd.readouterr().err
    assert warned is (rules == "generic")
