"""A MongoDB for tests: the server of MONGODB_URI, or an embedded mongod that ends with the session.

The server may be shared, so every test gets a database of its own, dropped afterwards.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.mongo.retry import connect

Document = dict[str, Any]


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of a MongoDB that takes writes."""
    uri = os.environ.get("MONGODB_URI")
    if uri:
        yield uri
        return
    with start_mongod(tmp_path_factory.mktemp("mongod")) as mongod:
        yield mongod.uri


@pytest.fixture(scope="session")
def mongo_client(mongo_uri: str) -> Iterator[MongoClient[Document]]:
    """A client of that MongoDB."""
    with connect(mongo_uri) as client:
        yield client


@pytest.fixture
def new_mongo_db(mongo_client: MongoClient[Document]) -> Iterator[Callable[[], Database[Document]]]:
    """Makes empty databases of random names; all are dropped after the test."""
    names: list[str] = []

    def new() -> Database[Document]:
        names.append(f"agent_assets_test_{uuid.uuid4().hex}")
        return mongo_client[names[-1]]

    yield new
    for name in names:
        mongo_client.drop_database(name)


@pytest.fixture
def mongo_db(new_mongo_db: Callable[[], Database[Document]]) -> Database[Document]:
    """An empty database of a random name, dropped after the test."""
    return new_mongo_db()
