"""How well memories are found, and what was never told is told from what was.

python benchmarks/recall.py --data DIR [--quick] [--fit]      about 3 minutes for 2,500 memories and 1,600 questions

DIR holds memories.jsonl {person, memory_id, text, told} and questions.jsonl {person, question, evidence: memory ids,
empty = never told}; a memory may have a "question" and a "language" (default en). Every method searches the memories of
one person. --quick takes a sample of the people and ends within 60 s. --fit prints when a query counts as told, fitted
to these people, as `elder_memories.embedding.told` wants it.

bm25s, dense and fusion have no threshold of their own: theirs is the score that loses one in twenty answered questions
of other people. The search of the first version and the product are measured as they are shipped. The curve shows what
a threshold could reach, by logistic regression on the features named, cross-fitted: nobody is judged by a model that
saw them.

The last line is one JSON object, of the product's own search:
any_at_2, any_at_5   share of answered questions with a right memory among what it returns
false_never_told     share of answered questions for which it returns nothing
false_found          share of questions never answered for which it returns something
ms_per_query         at 1,000 memories, on one core, after load, no query asked twice
"""  # noqa: E501

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before the libraries load

import numpy as np
import numpy.typing as npt
from recall_curve import fitted_told, fold_of, lost_threshold, print_curve
from recall_peers import PEERS, Person, RememberedQueries

from agent_assets.conversations.memories import Memory
from agent_assets.retrieval.config import EmbeddingConfig
from agent_assets.retrieval.embedder import Embedder
from agent_assets.retrieval.embedding import open_embedder
from agent_assets.retrieval.index import MemoryIndex
from agent_assets.retrieval.vectors import MemoryVectors, embed_memories

QUICK_PEOPLE = 4
TIMED_MEMORIES, TIMED_QUERIES = 1000, 60
LOST = 0.05
MOST = 5


@dataclass(frozen=True)
class Question:
    person: str
    text: str
    evidence: frozenset[str]


@dataclass(frozen=True)
class Answers:
    """Of one method: ids per question, best first, and the questions it takes for told."""

    ids: list[list[str]]
    found: npt.NDArray[np.bool_]
    milliseconds: float


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read(
    folder: Path, embedder: Embedder, *, quick: bool
) -> tuple[dict[str, Person], list[Question]]:
    """The people with their memories embedded, and what they are asked."""
    entries: dict[str, list[dict[str, object]]] = {}
    for entry in read_lines(folder / "memories.jsonl"):
        entries.setdefault(str(entry["person"]), []).append(entry)
    names = sorted(entries)
    names = names[:: max(1, len(names) // QUICK_PEOPLE)][:QUICK_PEOPLE] if quick else names
    people = {name: person_of(entries[name], embedder) for name in names}
    questions = [
        Question(str(entry["person"]), str(entry["question"]), frozenset(map(str, evidence)))
        for entry in read_lines(folder / "questions.jsonl")
        if entry["person"] in people and isinstance(evidence := entry["evidence"], list)
    ]
    return people, questions


def person_of(entries: Sequence[dict[str, object]], embedder: Embedder) -> Person:
    memories = [
        Memory(str(entry["memory_id"]), str(entry.get("question", "")), str(entry["text"]))
        for entry in entries
    ]
    language = str(entries[0].get("language", "en"))
    vectors, _ = embed_memories(memories, language, embedder, config=EmbeddingConfig())
    return Person(language, memories, vectors, RememberedQueries(embedder))


def peer_answers(
    name: str, people: dict[str, Person], questions: Sequence[Question], told: npt.NDArray[np.bool_]
) -> Answers:
    """A peer with the threshold that loses `LOST` of what others were told."""
    ids, tops = [], []
    started = time.perf_counter()
    for question in questions:
        person = people[question.person]
        scores = PEERS[name](person, question.text)
        order = np.argsort(-scores, kind="stable")[:MOST]
        ids.append([person.memories[row].memory_id for row in order])
        # A reciprocal rank says nothing of how close the best memory is; the cosine does.
        sure = PEERS["dense"](person, question.text) if name == "fusion" else scores
        tops.append(float(sure.max()))
    taken = (time.perf_counter() - started) * 1000 / len(questions)
    folds, best = fold_of([question.person for question in questions]), np.array(tops)
    found = np.zeros(len(questions), dtype=bool)
    for fold in set(folds.tolist()):
        held = folds == fold
        found[held] = best[held] >= lost_threshold(best[~held], told[~held], LOST)
    return Answers(ids, found, taken)


def shipped_answers(
    search: Callable[[Person, str], list[str]],
    people: dict[str, Person],
    questions: Sequence[Question],
) -> Answers:
    """A search with a threshold of its own."""
    started = time.perf_counter()
    ids = [search(people[question.person], question.text) for question in questions]
    taken = (time.perf_counter() - started) * 1000 / len(questions)
    return Answers(ids, np.array([bool(each) for each in ids]), taken)


def first_version(person: Person, query: str) -> list[str]:
    return [memory.memory_id for memory in person.word_search.search(query, limit=MOST)]


def product(person: Person, query: str) -> list[str]:
    return [hit.memory.memory_id for hit in person.index.search(query, limit=MOST)]


def ranking(person: Person, query: str) -> list[str]:
    return [hit.memory.memory_id for hit in person.index.neighbours(query, limit=MOST)]


def figures(answers: Answers, questions: Sequence[Question]) -> dict[str, float]:
    told = np.array([bool(question.evidence) for question in questions])
    shares = {
        f"any_at_{most}": statistics.fmean(
            bool(question.evidence & set(ids[:most]))
            for question, ids in zip(questions, answers.ids, strict=True)
            if question.evidence
        )
        for most in (1, 2, MOST)
    }
    never, found = 1 - answers.found[told].mean(), answers.found[~told]
    return shares | {
        "false_never_told": float(never),
        "false_found": float(found.mean()) if len(found) else 0.0,
        "ms_per_query": answers.milliseconds,
    }


def milliseconds(
    people: dict[str, Person], questions: Sequence[Question], embedder: Embedder
) -> float:
    """Median of one query over many memories, those of all people together; repeated where they
    are few.
    """
    first = next(iter(people.values()))
    pool = [memory for person in people.values() for memory in person.memories]
    memories = [
        Memory(
            f"m-{number:04d}", pool[number % len(pool)].question, pool[number % len(pool)].answer
        )
        for number in range(TIMED_MEMORIES)
    ]
    vectors, _ = embed_memories(
        memories, first.language, embedder, config=EmbeddingConfig(), previous=pooled(people)
    )
    index = MemoryIndex(memories, first.language, vectors, embedder)
    queries = list(dict.fromkeys(question.text for question in questions))[:TIMED_QUERIES]
    index.search("warm", limit=MOST)
    taken = []
    for query in queries:
        started = time.perf_counter()
        index.search(query, limit=MOST)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def pooled(people: dict[str, Person]) -> MemoryVectors:
    """The vectors of all people: nothing is embedded twice."""
    everyone = [person.vectors for person in people.values()]
    return MemoryVectors(
        everyone[0].model_hash,
        everyone[0].embedding,
        tuple(text for vectors in everyone for text in vectors.texts),
        np.concatenate([vectors.matrix for vectors in everyone]),
    )


def print_figures(name: str, shares: dict[str, float]) -> None:
    print(f"{name:26}" + "".join(f"{value:10.3f}" for value in shares.values()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the two files")
    parser.add_argument("--quick", action="store_true", help="a sample of the people, under 60 s")
    parser.add_argument("--fit", action="store_true", help="print a `told` fitted to these people")
    arguments = parser.parse_args()
    embedder = open_embedder(EmbeddingConfig())
    assert embedder is not None
    people, questions = read(arguments.data, embedder, quick=arguments.quick)
    told = np.array([bool(question.evidence) for question in questions])
    print(
        f"{len(people)} people, {sum(len(person.memories) for person in people.values())} "
        f"memories, {told.sum()} questions answered by a memory, {(~told).sum()} never told"
    )
    print(f"{'':26}     any@1     any@2     any@5     never     found        ms")
    for question in questions:
        people[question.person].embedder.queries([question.text])
    first = shipped_answers(first_version, people, questions)
    print_figures("first version", figures(first, questions))
    for name in PEERS:
        answers = peer_answers(name, people, questions, told)
        print_figures(name, figures(answers, questions))
    print_figures(
        "product, its ranking", figures(shipped_answers(ranking, people, questions), questions)
    )
    shares = figures(shipped_answers(product, people, questions), questions)
    print_figures("product", shares)
    print("ms: without embedding the query, which methods share; the last line has all of it")
    owners = [question.person for question in questions]
    close = [people[question.person].index.closeness(question.text) for question in questions]
    print_curve(close, told, owners)
    if arguments.fit:
        languages = [people[owner].language for owner in owners]
        print("told:", json.dumps(fitted_told(close, told, languages)))
    shares["ms_per_query"] = milliseconds(people, questions, embedder)
    reported = ("any_at_2", "any_at_5", "false_never_told", "false_found", "ms_per_query")
    print(json.dumps({name: round(shares[name], 3) for name in reported}))


if __name__ == "__main__":
    main()
