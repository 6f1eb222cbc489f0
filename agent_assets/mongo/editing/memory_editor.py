"""Adding, correcting and withdrawing a memory in the elders' own collection."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from agent_assets.errors import MemoryDataError
from agent_assets.mongo.answers import documents_by_memory
from agent_assets.mongo.codec import decoded
from agent_assets.mongo.layout import MongoLayout, check_elder_id, stored_id
from agent_assets.mongo.questionnaire import Questionnaire
from agent_assets.mongo.retry import Document, Retry, with_retries
from agent_assets.mongo.texts import clean_text
from agent_assets.mongo.values import dig

Result = TypeVar("Result")


class MemoryEditor:
    """Writes for one database and layout. Its methods block.

    Args:
        longest: characters of an answer that still counts.
    """

    def __init__(self, db: "Database[Document]", layout: MongoLayout, *, longest: int) -> None:
        self._db, self._layout, self._longest = db, layout, longest

    def open_questions(self, elder_id: str) -> dict[str, str]:
        """Questions of the questionnaire that the elder did not answer: wording by id, sorted by
        wording.
        """
        questionnaire = self._questionnaire()
        answered = {
            questionnaire.find(dig(document, self._layout.answers.question))[0]
            for document in self._documents(elder_id)
        }
        left = {
            number: question.text
            for number, question in questionnaire.by_id.items()
            if number not in answered and question.text
        }
        return dict(sorted(left.items(), key=lambda entry: entry[1]))

    def add(self, elder_id: str, question_id: str, answer: str) -> None:
        """Store an answer of the elder to a question of the questionnaire.

        Raises:
            MemoryDataError: the answer cannot be used, there is no such question, or it is
                answered.
        """
        text, names = self._usable(answer), self._layout.answers
        if question_id not in self.open_questions(elder_id):
            raise MemoryDataError(
                "This question is answered already, or there is none of this id.",
                next_step="correct the memory that there is, or choose another question.",
            )
        stored = stored_id(elder_id, self._layout.elder_id_type)
        now = datetime.now(UTC)
        fields: dict[str | None, Any] = {
            names.elder: stored,
            names.question: self._questionnaire().stored(question_id),
            names.text: text,
            names.created_at: now,
            names.updated_at: now,
            names.answered_by: stored,
            names.is_self: True,
            names.relationship: "self",
        }
        document: Document = {}
        for path, value in fields.items():
            if path is not None:
                _put(document, path, value)
        try:
            self._write(lambda: self._answers.insert_one(document))
        except DuplicateKeyError:
            raise _moved() from None

    def correct(self, elder_id: str, memory_id: str, answer: str) -> None:
        """Let a memory say something else from now on.

        Raises:
            MemoryDataError: the answer cannot be used, there is no such memory, or it was changed
                meanwhile.
        """
        text, names = self._usable(answer), self._layout.answers
        document = self._told(elder_id, memory_id)[0]
        # Only what was read is replaced: two people may correct at once.
        known = {"_id": document["_id"], names.text: dig(document, names.text)}
        change = {"$set": {names.text: text, names.updated_at: datetime.now(UTC)}}
        if not self._write(lambda: self._answers.update_one(known, change)).matched_count:
            raise _moved()

    def withdraw(self, elder_id: str, memory_id: str) -> None:
        """Remove a memory, with older answers to the same question.

        Raises:
            MemoryDataError: there is no such memory.
        """
        numbers = [document["_id"] for document in self._told(elder_id, memory_id)]
        self._write(lambda: self._answers.delete_many({"_id": {"$in": numbers}}))

    def _told(self, elder_id: str, memory_id: str) -> list[Mapping[str, Any]]:
        by_memory = documents_by_memory(
            elder_id, self._documents(elder_id), self._layout.answers, self._questionnaire()
        )
        if memory_id not in by_memory:
            raise MemoryDataError(
                "There is no memory of this id.", next_step="load the list of memories again."
            )
        return by_memory[memory_id]

    def _usable(self, answer: str) -> str:
        text = clean_text(answer)
        if not text or len(text) > self._longest:
            raise MemoryDataError(
                "This answer is empty, or too long.",
                next_step=f"write up to {self._longest} characters.",
            )
        return text

    def _documents(self, elder_id: str) -> list[Document]:
        check_elder_id(elder_id, self._layout.elder_id_type)
        names = self._layout.answers
        fields = names.model_dump(exclude={"collection"}, exclude_none=True).values()
        condition = {names.elder: stored_id(elder_id, self._layout.elder_id_type)}
        projection = {"_id": 1, **dict.fromkeys(fields, 1)}
        return self._read(
            lambda: list(decoded(self._answers.find_raw_batches(condition, projection)))
        )

    def _questionnaire(self) -> Questionnaire:
        names = self._layout.questions
        fields = {name: 1 for name in (names.id, names.text, names.category) if name}
        collection = self._db[names.collection]
        return self._read(
            lambda: Questionnaire(
                names, decoded(collection.find_raw_batches({}, {"_id": 0, **fields}))
            )
        )

    @property
    def _answers(self) -> Any:
        return self._db[self._layout.answers.collection]

    def _read(self, work: Callable[[], Result]) -> Result:
        return with_retries(self._db.client, work, Retry())

    def _write(self, work: Callable[[], Result]) -> Result:
        return with_retries(self._db.client, work, Retry(), writing=True)


def _put(document: Document, path: str, value: object) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[last] = value


def _moved() -> MemoryDataError:
    return MemoryDataError(
        "The memory was changed meanwhile.", next_step="load it again, and look what it says now."
    )
