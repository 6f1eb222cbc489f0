"""The questions collection, and which of them an answer refers to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from agent_assets.mongo.layout import QuestionsLayout
from agent_assets.mongo.texts import clean_text
from agent_assets.mongo.values import dig, id_text, loose_id_text, referenced_id


@dataclass(frozen=True)
class QuestionText:
    """Wording and category of a question, "" where the source has none."""

    text: str
    category: str = ""


class Questionnaire:
    """All questions of a layout, by the id they are stored with."""

    def __init__(self, layout: QuestionsLayout, documents: Iterable[Mapping[str, object]]) -> None:
        self._layout = layout
        self._stored: dict[str, object] = {}
        self.by_id: dict[str, QuestionText] = {}
        for document in documents:
            stored = dig(document, layout.id)
            question_id, question = id_text(stored), self._question(document)
            other = self.by_id.get(question_id)
            # Of two with one id the one with a wording, then the one that sorts last, so that the
            # order of documents never decides.
            if other is None or (other.text, other.category) < (question.text, question.category):
                self.by_id[question_id], self._stored[question_id] = question, stored

    def find(self, reference: object) -> tuple[str, QuestionText]:
        """Id and question that an answer's reference means; ("", an empty question) for none.

        The id is that of the questions collection where it is found there, however the answer
        writes it: in another type, as a DBRef, or as the whole question in its place.
        """
        question_id = id_text(reference)
        question = self.by_id.get(question_id)
        if question is not None:
            return question_id, question
        inner = referenced_id(reference, self._layout.id)
        known = self._known_id(inner)
        if known is not None:
            return known, self.by_id[known]
        populated = isinstance(reference, list) and len(reference) == 1
        document = reference[0] if isinstance(reference, list) and populated else reference
        if isinstance(document, Mapping):
            question = self._question(document)
            fallback_id = f"text:{question.text}" if question.text else question_id
            return (id_text(inner) or fallback_id), question
        return (question_id if inner is reference else id_text(inner)), QuestionText("")

    def stored(self, question_id: str) -> object:
        """The id of a question as the collection stores it.

        Raises:
            KeyError: there is no such question.
        """
        return self._stored[question_id]

    def _known_id(self, stored: object) -> str | None:
        question_id = id_text(stored)
        if question_id in self.by_id:
            return question_id
        return self._by_loose_id.get(loose_id_text(stored)) if question_id else None

    @cached_property
    def _by_loose_id(self) -> dict[str, str]:
        """Of two questions whose ids are loosely the same, the one that sorts first."""
        return {
            loose_id_text(self._stored[question_id]): question_id
            for question_id in sorted(self._stored, reverse=True)
        }

    def _question(self, document: Mapping[str, object]) -> QuestionText:
        return QuestionText(
            clean_text(dig(document, self._layout.text)) or "",
            clean_text(dig(document, self._layout.category)) or "",
        )
