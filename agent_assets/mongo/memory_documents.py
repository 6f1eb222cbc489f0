"""Which documents stand behind a memory: to delete one, they have to be found again."""

from pymongo.database import Database

from agent_assets.mongo.answers import documents_by_memory
from agent_assets.mongo.layout import MongoLayout, stored_id
from agent_assets.mongo.questionnaire import Questionnaire
from agent_assets.mongo.retry import Document, Retry, with_retries


def memory_documents(
    db: Database[Document], layout: MongoLayout, elder_id: str
) -> dict[str, list[object]]:
    """The `_id`s of the documents behind each memory of one elder.

    Raises:
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    whose = {layout.answers.elder: stored_id(elder_id, layout.elder_id_type)}

    def read() -> tuple[list[Document], list[Document]]:
        return (
            list(db[layout.answers.collection].find(whose)),
            list(db[layout.questions.collection].find({})),
        )

    answers, questions = with_retries(db.client, read, Retry())
    behind = documents_by_memory(
        elder_id, answers, layout.answers, Questionnaire(layout.questions, questions)
    )
    return {memory: [document["_id"] for document in found] for memory, found in behind.items()}
