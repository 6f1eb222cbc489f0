"""A third language is one module and one block of wordings; one without either is served, and said
to be unknown.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.mongo.answers import make_profile
from agent_assets.mongo.layout import ProfilesLayout
from agent_assets.text import languages
from agent_assets.text.answers import says_never_told, states_value
from agent_assets.text.identify import identify_language
from agent_assets.text.languages import rules as lookup
from support.synthesis_runs import DEFS, conversations, elder_folder, make, pipeline_config

OURS = DEFS / "elder_companion" / "wordings.yaml"
MODULE = Path(__file__).with_name("french_rules.py")
BLOCK = {
    "search_memories": [
        "{query}",
        "Racontez-moi. {query}",
        "{query} Merci !",
        "Dites-moi : {query}",
    ],
    "get_memory": [
        "Que dit {memory_id} ?",
        "Lisez {memory_id}.",
        "{memory_id}, merci.",
        "Montrez {memory_id}.",
    ],
    "find_by_person": [
        "Parlez-moi de {name}.",
        "Qui était {name} ?",
        "{name}, qui est-ce ?",
        "Et {name} ?",
    ],
    "find_by_years": [
        f"{text} {{start_year}} à {{end_year}}" for text in ("De", "Racontez", "Et de", "Vécu de")
    ],
    "list_topics": [
        "De quoi parlez-vous ?",
        "Quels sujets ?",
        "Vos thèmes ?",
        "Que puis-je demander ?",
    ],
}
MEMORIES = [
    Memory(
        f"m-{number:03d}",
        f"Que faisiez-vous à {town} ?",
        f"Je vendais du pain à {town} en {1930 + number} avec mon frère {brother}. On payait "
        f"{number},5 francs.",
        "travail",
        relationship="family" if number == 3 else "self",
    )
    for number, (town, brother) in enumerate(
        zip(
            [
                "Lyon",
                "Nantes",
                "Lille",
                "Metz",
                "Dijon",
                "Tours",
                "Brest",
                "Nice",
                "Arles",
                "Caen",
                "Sète",
                "Albi",
            ],
            [
                "André",
                "Bruno",
                "Claude",
                "Denis",
                "Émile",
                "Franck",
                "Gilles",
                "Hugo",
                "Igor",
                "Jules",
                "Karl",
                "Luc",
            ],
            strict=True,
        )
    )
]


@pytest.fixture
def french(tmp_path: Path) -> Iterator[None]:
    """The module in a folder of languages; nothing else is told of it."""

    def forget() -> None:
        for cached in (
            lookup.known_languages,
            lookup.rules_for,
            lookup.readers,
            lookup.code_by_alias,
        ):
            cached.cache_clear()
        sys.modules.pop(f"{languages.__name__}.fr", None)

    folder = tmp_path / "languages"
    folder.mkdir()
    shutil.copy(MODULE, folder / "fr.py")
    languages.__path__.append(str(folder))
    forget()
    yield
    languages.__path__.remove(str(folder))
    forget()


def wordings(path: Path) -> Path:
    """Ours with a block in French."""
    content = yaml.safe_load(OURS.read_text(encoding="utf-8"))
    for tool, questions in BLOCK.items():
        content["tools"][tool]["fr"] = {"questions": questions}
    content["recall"]["never_told"]["fr"] = {
        "questions": [
            f"Avez-vous vu {thing} ?"
            for thing in ("un ours", "la reine", "un fantôme", "la Chine", "un tigre")
        ],
        "answers": ["Je ne l'ai jamais raconté.", "Je ne m'en souviens pas."],
    }
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def test_a_module_and_a_block_of_wordings_are_all_that_a_language_needs(
    french: None, tmp_path: Path
) -> None:
    assert identify_language(memory.answer for memory in MEMORIES) == "fr"
    layout = ProfilesLayout(collection="people", id="_id", name="name", language="language")
    assert make_profile("e", {"language": "Français"}, layout, [])[0] == ElderProfile(
        "e", "Ancien", "fr"
    )
    memories = elder_folder(
        tmp_path / "memories", ElderProfile("luc", "Luc", "fr", {"hobby": "les échecs"}), MEMORIES
    )
    rows = make(
        tmp_path / "made",
        pipeline_config("elder_companion", memories),
        templates_file=wordings(tmp_path / "wordings.yaml"),
        memories=memories,
        questions={"languages": ["en", "fr"]},
        rows={"closed_per_memory": 1},
    )
    assert rows.summary["uncovered"] == {}
    assert set(rows.summary["by_language"]) == {"fr"}
    assert all(rows.summary["calls_by_tool"].values())
    messages = [
        message for conversation in conversations(rows) for message in conversation.messages
    ]
    assert {m.content for m in messages if m.role == "system"} == {
        "Vous êtes Luc. Vous aimez les échecs. Répondez à la première personne."
    }
    final = {m.content for m in messages if m.role == "assistant" and not m.tool_calls}
    assert any(
        text.startswith("Ma famille le raconte ainsi : Je vendais du pain à Metz") for text in final
    )
    never = [item for item in rows.items if item.kind == "abstention"]
    assert never and all(says_never_told(item.gold_answer, "fr") for item in never)
    assert not any(
        says_never_told(item.gold_answer, "fr") for item in rows.items if item.kind == "recall_open"
    )
    assert states_value("3.5", MEMORIES[3].answer, "fr") and not states_value(
        "5", MEMORIES[3].answer, "fr"
    )


@pytest.mark.parametrize(
    ("code", "question", "answer"),
    [
        (
            "fr",
            "Que faisiez-vous à la ville {} ?",
            "Je vendais du pain dans la ville {} avec mon frère.",
        ),
        ("th", "คุณทำอะไรในปี {}?", "ผมขายข้าวที่ตลาดในปี {} กับพี่ชาย"),
        ("ar", "ماذا فعلت عام {}؟", "كنت أبيع الخبز عام {} مع أخي."),
    ],
)
def test_an_elder_of_an_unknown_language_is_served_in_their_words_and_the_rest_is_said(
    code: str, question: str, answer: str, tmp_path: Path
) -> None:
    elder_memories = [
        Memory(f"m-{n:03d}", question.format(1930 + n), answer.format(1930 + n), "work")
        for n in range(12)
    ]
    memories = elder_folder(tmp_path / "memories", ElderProfile("e", "E", code), elder_memories)
    rows = make(
        tmp_path / "made",
        pipeline_config("elder_companion", memories),
        templates_file=OURS,
        memories=memories,
        questions={"languages": ["en", "zh"]},
        rows={"closed_per_memory": 1},
    )
    assert {"language", "wordings", "phrases"} <= rows.summary["uncovered"].keys()
    assert "are in English" in rows.coverage["uncovered"]["wordings"]
    assert rows.summary["by_language"][code] >= 24
    final = {
        m.content
        for c in conversations(rows)
        for m in c.messages
        if m.role == "assistant" and not m.tool_calls
    }
    assert {memory.answer for memory in elder_memories} <= final
