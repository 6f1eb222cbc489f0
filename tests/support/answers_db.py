"""Questions and answers for tests, written as the service layout stores them."""

from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database

from agent_assets.mongo.layout import MongoLayout

Document = dict[str, Any]
Db = Database[Document]
SERVICE, APP = MongoLayout.service(), MongoLayout.app()
T0 = datetime(2024, 5, 1, 8, 30, tzinfo=UTC)
T1 = datetime(2024, 6, 1, tzinfo=UTC)


def ask(db: Db, **questions: str) -> None:
    db.questions.insert_many(
        [{"_id": key, "questionText": text, "category": "童年"} for key, text in questions.items()]
    )


def answer(db: Db, elder: object, question: str, text: object, **more: object) -> None:
    db.answers.insert_one(
        {"elderId": elder, "questionId": question, "answer": text, "createdAt": T0, **more}
    )
