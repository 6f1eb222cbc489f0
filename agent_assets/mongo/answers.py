"""From the documents of one elder to memories: one rule for what counts as an answer, whatever the
layout.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from bson.objectid import ObjectId

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import canonical_json
from agent_assets.conversations.set_aside import shown_name
from agent_assets.mongo.layout import AnswersLayout, ProfilesLayout
from agent_assets.mongo.questionnaire import Questionnaire, QuestionText
from agent_assets.mongo.texts import clean_text
from agent_assets.mongo.values import dig, id_text, referenced_id, utc_text
from agent_assets.text.identify import identify_language
from agent_assets.text.languages.rules import (
    LANGUAGE_CODE,
    UNKNOWN_LANGUAGE,
    LanguageCode,
    code_by_alias,
    rules_for,
)

MAX_TRAIT_CHARS = 4000  # longer is a text, no trait; prompts cut them by tokens


class SkipReason(StrEnum):
    """Why a document did not become part of the record."""

    EMPTY = "empty"
    NOT_TEXT = "not_text"
    TOO_LONG = "too_long"
    NO_QUESTION = "no_question"  # the question it answers is gone
    SUPERSEDED = "superseded"  # the same person answered the same question again later
    # a name or trait that is not text, or too long for a system prompt
    PROFILE_FIELD = "profile_field"
    LANGUAGE = "language"  # neither an ISO 639 code nor a name that the rules of a language list
    TIME = "time"  # it is not known when it was told or changed; the answer itself counts
    # the same question twice, and neither times nor ids of the documents say which came later
    ORDER_UNKNOWN = "order_unknown"
    UNREADABLE = "unreadable"  # MongoDB's driver cannot decode the document


@dataclass
class Skipped:
    """Documents and values that were left out, counted by reason and named."""

    counts: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)

    def add(self, reason: SkipReason, name: str) -> None:
        """Count one. An answer that a later one supersedes is ordinary, and is not named."""
        self.counts[reason.value] += 1
        if reason is not SkipReason.SUPERSEDED:
            self.names.append(f"{shown_name(name)}: {reason.value}")


class _Candidate(NamedTuple):
    question_id: str
    answered_by: str
    question: QuestionText
    document: Mapping[str, object]


def make_memories(
    elder_id: str,
    documents: Iterable[Mapping[str, object]],
    layout: AnswersLayout,
    questionnaire: Questionnaire,
    *,
    max_answer_chars: int,
) -> tuple[tuple[Memory, ...], Skipped]:
    """The usable answers of one elder, sorted by memory id, and what was skipped."""
    skipped = Skipped()
    candidates: dict[tuple[str, str], list[_Candidate]] = {}
    for document in documents:
        candidate = _candidate(document, layout, questionnaire)
        candidates.setdefault(candidate[:2], []).append(candidate)
    ids = memory_ids(elder_id, candidates)
    memories = []
    for key, rivals in candidates.items():
        latest = rivals[0] if len(rivals) == 1 else _latest(rivals, layout, skipped)
        memory_or_reason = _memory(ids[key], latest, layout, max_answer_chars)
        if isinstance(memory_or_reason, SkipReason):
            skipped.add(memory_or_reason, _name(latest.document))
            continue
        memories.append(memory_or_reason)
        if _has_unknown_time(latest.document, layout, memory_or_reason):
            skipped.add(SkipReason.TIME, _name(latest.document))
    return tuple(sorted(memories, key=lambda memory: memory.memory_id)), skipped


def documents_by_memory(
    elder_id: str,
    documents: Iterable[Mapping[str, object]],
    layout: AnswersLayout,
    questionnaire: Questionnaire,
) -> dict[str, list[Mapping[str, object]]]:
    """The documents that stand behind each memory id, the one that counts first: those that it
    supersedes, and those that cannot be used, included.
    """
    candidates: dict[tuple[str, str], list[_Candidate]] = {}
    for document in documents:
        candidate = _candidate(document, layout, questionnaire)
        candidates.setdefault(candidate[:2], []).append(candidate)
    ids = memory_ids(elder_id, candidates)
    found = {}
    for key, rivals in candidates.items():
        latest = _latest(rivals, layout, Skipped()) if len(rivals) > 1 else rivals[0]
        others = [rival.document for rival in rivals if rival is not latest]
        found[ids[key]] = [latest.document, *others]
    return found


def question_memory_ids(elder_id: str, question_id: str, answered_by: str) -> tuple[str, str]:
    """Under which ids an answer to a question may be known: the usual one, and the longer one."""
    digest = _digest(elder_id, (question_id, answered_by))
    return f"m-{digest[:8]}", f"m-{digest[:16]}"


def memory_ids(elder_id: str, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Memory id by (question id, answered by): it survives edits of the answer. Ids that clash get
    16 digits, not 8.
    """
    digests = {key: _digest(elder_id, key) for key in keys}
    uses = Counter(digest[:8] for digest in digests.values())
    return {
        key: f"m-{digest[: 8 if uses[digest[:8]] == 1 else 16]}" for key, digest in digests.items()
    }


def make_profile(
    elder_id: str,
    document: Mapping[str, object],
    layout: ProfilesLayout | None,
    memories: Iterable[Memory],
) -> tuple[ElderProfile, Skipped]:
    """The profile from its document (empty where there is none); the language is told from the
    answers if need be.
    """
    skipped = Skipped()
    texts: dict[str, str] = {}
    for name, path in {"": layout.name, **layout.traits}.items() if layout else ():
        value = dig(document, path)
        text = clean_text("、".join(value) if _is_text_list(value) else value)
        if text is None or len(text) > MAX_TRAIT_CHARS:
            if value is not None:
                skipped.add(SkipReason.PROFILE_FIELD, f"profile {path}")
        elif text:
            texts[name] = text
    stated = clean_text(dig(document, layout.language)) if layout and layout.language else None
    language = _stated_language(stated) if stated else None
    if language is None:
        if stated:
            skipped.add(SkipReason.LANGUAGE, f"language {stated}")
        memories = list(memories)
        language = identify_language(
            (memory.answer for memory in memories), (memory.question for memory in memories)
        )
    name = texts.pop("", rules_for(language).phrases.elder)
    return ElderProfile(elder_id, name, language, dict(sorted(texts.items()))), skipped


def _candidate(
    document: Mapping[str, object], layout: AnswersLayout, questionnaire: Questionnaire
) -> _Candidate:
    question_id, question = questionnaire.find(dig(document, layout.question))
    wording = clean_text(dig(document, layout.question_text))
    if wording:
        question = QuestionText(wording, question.category)
    answered_by = id_text(referenced_id(dig(document, layout.answered_by)))
    return _Candidate(question_id or f"text:{wording or ''}", answered_by, question, document)


def _latest(rivals: list[_Candidate], layout: AnswersLayout, skipped: Skipped) -> _Candidate:
    """The latest of several answers to one question; the others are skipped.

    ObjectIds, which programs count up, decide where times do not. The text decides last, so that
    the order of documents never does.
    """
    born = [_object_id(candidate.document) for candidate in rivals]
    unread = any(_is_unknown(dig(rival.document, layout.updated_at)) for rival in rivals)
    told_at = {
        id(rival): (object_id,) if unread and all(born) else _told_at(rival, layout, object_id)
        for rival, object_id in zip(rivals, born, strict=True)
    }
    latest, *others = sorted(
        rivals,
        key=lambda rival: (told_at[id(rival)], repr(dig(rival.document, layout.text))),
        reverse=True,
    )
    known = all(told_at[id(other)] != told_at[id(latest)] for other in others)
    order_known = known and (not unread or all(born))
    for other in others:
        reason = SkipReason.SUPERSEDED if order_known else SkipReason.ORDER_UNKNOWN
        skipped.add(reason, _name(other.document))
    return latest


def _told_at(candidate: _Candidate, layout: AnswersLayout, object_id: str) -> tuple[str, str, str]:
    created = utc_text(dig(candidate.document, layout.created_at))
    if not created and object_id:
        created = utc_text(ObjectId(object_id).generation_time)
    return utc_text(dig(candidate.document, layout.updated_at)) or created, created, object_id


def _object_id(document: Mapping[str, object]) -> str:
    stored = document.get("_id")
    return str(stored) if isinstance(stored, ObjectId) else ""


def _has_unknown_time(
    document: Mapping[str, object], layout: AnswersLayout, memory: Memory
) -> bool:
    """Whether a time is stored that cannot be read."""
    if not memory.created_at and _is_unknown(dig(document, layout.created_at)):
        return True
    # A time of its own that could be read: nearly always. Without one, that of creation counts.
    return memory.updated_at == memory.created_at and _is_unknown(dig(document, layout.updated_at))


def _is_unknown(stored: object) -> bool:
    return stored is not None and not utc_text(stored)


def _name(document: Mapping[str, object]) -> str:
    return id_text(document.get("_id")) or "a document without _id"


def _memory(
    memory_id: str,
    candidate: _Candidate,
    layout: AnswersLayout,
    max_chars: int,
) -> Memory | SkipReason:
    document, question = candidate.document, candidate.question
    answer = clean_text(dig(document, layout.text))
    if dig(document, layout.text) is None or answer == "":
        return SkipReason.EMPTY
    if answer is None:
        return SkipReason.NOT_TEXT
    if len(answer) > max_chars:
        return SkipReason.TOO_LONG
    if not question.text:
        return SkipReason.NO_QUESTION
    created = utc_text(dig(document, layout.created_at))
    by_elder = layout.relationship is None or dig(document, layout.is_self) is True
    return Memory(
        memory_id=memory_id,
        question=question.text,
        answer=answer,
        category=clean_text(dig(document, layout.category)) or question.category,
        answered_by=candidate.answered_by,
        relationship="self" if by_elder else clean_text(dig(document, layout.relationship)) or "",
        created_at=created,
        updated_at=utc_text(dig(document, layout.updated_at)) or created,
    )


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _stated_language(stated: str) -> LanguageCode | None:
    """The code of a language tag (`zh-Hant`, `en_US`) or of a name that is known; None where it
    says neither.
    """
    name = stated.lower().replace("_", "-").partition("-")[0]
    code = code_by_alias().get(name, name)
    return code if re.match(LANGUAGE_CODE, code) and code != UNKNOWN_LANGUAGE else None


def _digest(elder_id: str, key: tuple[str, str]) -> str:
    text = ",".join(map(canonical_json, (elder_id, *key)))  # far quicker than JSON of the list
    return hashlib.sha256(f"[{text}]".encode()).hexdigest()
