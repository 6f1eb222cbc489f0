"""What MongoDB holds: the elder's documents (with `--source`), and tokens that reach the elder."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import bson
from pymongo.collection import Collection

from agent_assets.erasure.place import Item, Scene
from agent_assets.mongo.database import OWN_DATABASE
from agent_assets.mongo.layout import MongoLayout, stored_id
from agent_assets.mongo.memory_documents import memory_documents
from agent_assets.mongo.retry import Document, Retry, with_retries

Condition = dict[str, object]
Result = TypeVar("Result")
_QUESTIONS = (
    "questions of the questionnaire that are asked of everybody, whatever their wording says, and "
    "shared artifacts made from them"
)
_ELSEWHERE = "answers of this elder about other people, which belong to those"


class SourceDocuments:
    """The elder's answers, profile, and the questions that name the elder. Only with `--source`."""

    name = "documents in MongoDB"

    def items(self, scene: Scene) -> list[Item]:
        """The documents, by collection and id."""
        items = []
        for collection, condition in _documents(scene):
            documents = _run(scene, partial(_all, collection, condition))
            items += [_item(collection.name, document) for document in documents]
        return items

    def remove(self, scene: Scene) -> None:
        """Delete them."""
        for collection, condition in _documents(scene):
            _run(scene, partial(collection.delete_many, condition), writing=True)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """What names the elder in documents of others, and what was left on purpose."""
        if scene.request.memory is None:
            yield _ELSEWHERE
        yield _QUESTIONS
        if not scene.request.source and scene.request.memory is None:
            yield "profile and questions of the elder in MongoDB: --source was not given"


class ElderTokens:
    """Bearer tokens that reach this elder alone."""

    name = "tokens"

    def items(self, scene: Scene) -> list[Item]:
        """Their records."""
        of_elder: Condition = {"elder": scene.request.elder}
        records = _run(scene, partial(_all, self._tokens(scene), of_elder))
        return [_item("tokens", record) for record in records]

    def remove(self, scene: Scene) -> None:
        """Delete them: nobody holds a valid one any more."""
        of_elder = {"elder": scene.request.elder}
        _run(scene, partial(self._tokens(scene).delete_many, of_elder), writing=True)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Nothing."""
        return ()

    def _tokens(self, scene: Scene) -> Collection[Document]:
        return scene.installation.mongo.db.client[OWN_DATABASE]["tokens"]


def _documents(scene: Scene) -> Iterator[tuple[Collection[Document], Condition]]:
    if not scene.request.source:
        return
    database = scene.installation.mongo.db
    for layout in _layouts(scene):
        if scene.request.memory is not None:
            yield from _answers_of_memory(scene, layout)
            continue
        whose = stored_id(scene.request.elder, layout.elder_id_type)
        yield database[layout.answers.collection], {layout.answers.elder: whose}
        # a questionnaire is for everybody; a question that names the elder is theirs
        yield database[layout.questions.collection], {layout.answers.elder: whose}
        if layout.profiles is not None:
            yield database[layout.profiles.collection], {layout.profiles.id: whose}


def _layouts(scene: Scene) -> list[MongoLayout]:
    layouts = [
        MongoLayout.model_validate(graph.spec.config.elder_memories.layout)
        for graph in scene.installation.graphs
        if graph.spec.partitioned
    ]
    return list({layout.model_dump_json(): layout for layout in layouts}.values())


def _answers_of_memory(
    scene: Scene, layout: MongoLayout
) -> Iterator[tuple[Collection[Document], Condition]]:
    database = scene.installation.mongo.db
    behind = memory_documents(database, layout, scene.request.elder)
    ids = behind.get(str(scene.request.memory), [])
    yield database[layout.answers.collection], {"_id": {"$in": ids}}


def _run(scene: Scene, work: Callable[[], Result], *, writing: bool = False) -> Result:
    client = scene.installation.mongo.db.client
    return with_retries(client, work, Retry(), writing=writing)


def _all(collection: Collection[Document], condition: Condition) -> list[Document]:
    return list(collection.find(condition))


def _item(collection: str, document: Document) -> Item:
    return Item(f"{collection} {document['_id']}", len(bson.encode(document)))
