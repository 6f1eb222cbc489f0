"""What people said of an elder's answers: thumbs and reviews hold questions and answers."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import bson
from pymongo.collection import Collection

from agent_assets.erasure.place import Item, Scene
from agent_assets.mongo.retry import Document, Retry, with_retries
from agent_assets.reviews import decisions

Result = TypeVar("Result")


class ReviewDocuments:
    """Documents of the collection `reviews`; of one memory those that cite it."""

    name = "reviews"

    def items(self, scene: Scene) -> list[Item]:
        """The documents."""
        documents = _run(scene, partial(_all, _collection(scene), _about(scene)))
        return [
            Item(f"reviews {document['_id']}", len(bson.encode(document))) for document in documents
        ]

    def remove(self, scene: Scene) -> None:
        """Delete them."""
        _run(scene, partial(_collection(scene).delete_many, _about(scene)), writing=True)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Conversations that were kept by nobody but a browser."""
        yield "conversations in a browser's tab, which end with the tab"


def _about(scene: Scene) -> Document:
    elders = scene.installation.mongo.database
    return decisions.reviews_about(elders, scene.request.elder, scene.request.memory)


def _collection(scene: Scene) -> "Collection[Document]":
    client = scene.installation.mongo.db.client
    return client[decisions.DATABASE][decisions.COLLECTION]


def _all(collection: "Collection[Document]", condition: Document) -> list[Document]:
    return list(collection.find(condition))


def _run(scene: Scene, work: Callable[[], Result], *, writing: bool = False) -> Result:
    client = scene.installation.mongo.db.client
    return with_retries(client, work, Retry(), writing=writing)
