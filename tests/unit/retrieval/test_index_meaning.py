"""Search by meaning: what was told is found in other words, what was never told is not."""

from pathlib import Path

import pytest

from agent_assets.conversations.memories import ElderProfile, Memory, write_memories
from agent_assets.retrieval.config import EmbeddingConfig
from agent_assets.retrieval.embedder import Embedder
from agent_assets.retrieval.embedding import open_embedder
from agent_assets.retrieval.index import MemoryIndex
from agent_assets.retrieval.stored import open_vectors
from agent_assets.retrieval.vectors import embed_memories, passages, read_vectors, write_vectors

WEATHER = "The wind blew from the sea and the gulls cried over the roofs all day long. "
ENGLISH = [
    Memory(
        "e1", "What did your father do?", "My father kept the lighthouse until it was automatic."
    ),
    Memory("e2", "How did you meet?", "I met Tom at a dance in Portrush in 1961."),
    Memory("e3", "", "In the war we hid a radio in the beehive. The Germans never put a hand in."),
    Memory("e4", "What did you cook?", "My best dish was a stew of dulse and mutton."),
    Memory("e5", "", WEATHER * 20 + "Then my sister Ruth married a baker. " + WEATHER * 20),
]
CHINESE = [
    Memory("z1", "您父亲是做什么的？", "父亲在酒坊里做酒头脑，闻一闻就知道酒酿得怎么样。"),
    Memory("z2", "您和老伴怎么认识的？", "食堂停电，他把自己的手电筒借给我，后来就没要回去。"),
    Memory("z3", "困难时期您怎么过来的？", "六〇年粮食不够，我们把红薯藤晒干了磨粉，掺在稀饭里。"),
]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    embedder = open_embedder(EmbeddingConfig())
    assert embedder is not None
    return embedder


def index_of(memories: list[Memory], language: str, embedder: Embedder) -> MemoryIndex:
    vectors, _ = embed_memories(memories, language, embedder, config=EmbeddingConfig())
    return MemoryIndex(memories, language, vectors, embedder)


@pytest.fixture(scope="module")
def english(embedder: Embedder) -> MemoryIndex:
    return index_of(ENGLISH, "en", embedder)


@pytest.fixture(scope="module")
def chinese(embedder: Embedder) -> MemoryIndex:
    return index_of(CHINESE, "zh", embedder)


def ids(index: MemoryIndex, query: str) -> list[str]:
    return [hit.memory.memory_id for hit in index.search(query, limit=2)]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("What happened in 1961?", "e2"),
        ("Was there a dance?", "e2"),
        ("What did you conceal from the German soldiers?", "e3"),
        ("Which food did you make best?", "e4"),
        ("What did your father do", "e1"),
    ],
)
def test_told_in_other_words_is_found(english: MemoryIndex, query: str, wanted: str) -> None:
    assert wanted in ids(english, query)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("您爸爸靠什么养家？", "z1"),
        ("您老伴是怎么走到一起的？", "z2"),
        ("闹饥荒的时候吃什么？", "z3"),
    ],
)
def test_told_in_other_words_is_found_in_chinese(
    chinese: MemoryIndex, query: str, wanted: str
) -> None:
    assert wanted in ids(chinese, query)


@pytest.mark.parametrize(
    "query", ["What is your wifi password?", "Which laptop do you recommend?", "", " "]
)
def test_never_told_is_empty(english: MemoryIndex, query: str) -> None:
    assert ids(english, query) == []


def test_never_told_is_empty_in_chinese(chinese: MemoryIndex) -> None:
    assert ids(chinese, "您买过比特币吗？") == []


@pytest.mark.parametrize(
    ("query", "nearest"),
    [
        ("How did your dad earn his living?", "e1"),
        ("Where did you first see your husband?", "e2"),
        ("Where was the wireless during the occupation?", "e3"),
        ("Which meal were you known for?", "e4"),
    ],
)
def test_what_shares_no_word_is_the_nearest_neighbour(
    english: MemoryIndex, query: str, nearest: str
) -> None:
    assert english.neighbours(query, limit=1)[0].memory.memory_id == nearest


def test_neighbours_come_even_where_nothing_was_told(english: MemoryIndex) -> None:
    near = english.neighbours("What is your wifi password?", limit=2)
    assert len(near) == 2
    assert MemoryIndex([], "en").neighbours("Tom", limit=2) == []


def test_a_long_answer_is_found_by_the_passage_that_answers(english: MemoryIndex) -> None:
    first = english.search("Whom did your sister marry?", limit=1)[0]
    assert first.memory.memory_id == "e5"
    at = first.memory.answer.index("Then my sister")
    ends = [end for start, end in passages(first.memory.answer, "en") if start == first.start]
    assert first.start <= at < ends[0]


def test_passages_are_whole_and_cover_the_answer() -> None:
    answer = WEATHER * 30
    cut = passages(answer, "en")
    assert len(cut) > 3
    assert "".join(answer[start:end] for start, end in cut) == answer
    assert passages("short", "en") == [(0, 5)]


def test_unchanged_texts_keep_their_vectors(embedder: Embedder, tmp_path: Path) -> None:
    config = EmbeddingConfig()
    before, counts = embed_memories(ENGLISH[:3], "en", embedder, config=config)
    assert (counts.computed, counts.reused) == (5, 0)
    write_vectors(tmp_path, before)
    changed = [ENGLISH[0], Memory("e2", "How did you meet?", "We met in church."), ENGLISH[2]]
    after, counts = embed_memories(
        changed, "en", embedder, config=config, previous=read_vectors(tmp_path)
    )
    assert (counts.computed, counts.reused) == (1, 4)
    assert after.matrix[0].tobytes() == before.matrix[0].tobytes()
    fresh, _ = embed_memories(changed, "en", embedder, config=config)
    assert [text.digest for text in after.texts] == [text.digest for text in fresh.texts]


def test_vectors_of_another_model_are_not_taken_over(embedder: Embedder) -> None:
    config = EmbeddingConfig()
    before, _ = embed_memories(ENGLISH[:1], "en", embedder, config=config)
    other = type(before)("0" * 64, before.embedding, before.texts, before.matrix)
    _, counts = embed_memories(ENGLISH[:1], "en", embedder, config=config, previous=other)
    assert counts.reused == 0


def test_an_artifact_without_vectors_says_why_words_alone_are_searched(
    embedder: Embedder, tmp_path: Path
) -> None:
    write_memories(tmp_path, ElderProfile("ada", "Ada"), ENGLISH[:3])
    assert "no vectors" in open_vectors(tmp_path).why_not
    vectors, _ = embed_memories(ENGLISH[:3], "en", embedder, config=EmbeddingConfig())
    write_vectors(tmp_path, vectors)
    assert open_vectors(tmp_path).why_not == ""
    write_vectors(
        tmp_path, type(vectors)("0" * 64, vectors.embedding, vectors.texts, vectors.matrix)
    )
    assert "another embedding model" in open_vectors(tmp_path).why_not
