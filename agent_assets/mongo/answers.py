"""From the documents of one elder to memories: one rule for what counts as an answer, whatever the
layout.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import canonical_json
from agent_assets.mongo.layout import AnswersLayout, ProfilesLayout
from agent_assets.text.identify import identify_language
from agent_assets.text.language_rules import LANGUAGE_CODE, UNKNOWN_LANGUAGE, LanguageCode
from agent_assets.text.languages.lookup import code_by_alias, rules_for

_BROKEN_UTF8 = re.compile("[\ud800-\udfff]")  # what the reader turns bytes into that are not UTF-8
MAX_TRAIT_CHARS = 500  # traits are in every system prompt


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


@dataclass(frozen=True)
class QuestionText:
    """Wording and category of a question, "" where the source has none."""

    text: str
    category: str = ""


class _Candidate(NamedTuple):
    question_id: str
    answered_by: str
    document: Mapping[str, object]


def make_memories(
    elder_id: str,
    documents: Iterable[Mapping[str, object]],
    layout: AnswersLayout,
    questions: Mapping[str, QuestionText],
    *,
    max_answer_chars: int,
) -> tuple[tuple[Memory, ...], Counter[str]]:
    """The usable answers of one elder, sorted by memory id, and how many were skipped by reason."""
    skipped: Counter[str] = Counter()
    latest: dict[tuple[str, str], _Candidate] = {}
    for document in documents:
        candidate = _Candidate(
            _question_id(document, layout), id_text(dig(document, layout.answered_by)), document
        )
        key = candidate[:2]
        other = latest.get(key)
        if other is not None:
            skipped[SkipReason.SUPERSEDED] += 1
        if other is None or _age(candidate.document, layout) > _age(other.document, layout):
            latest[key] = candidate
    ids = memory_ids(elder_id, latest)
    memories = []
    for key, candidate in latest.items():
        memory_or_reason = _memory(ids[key], candidate, layout, questions, max_answer_chars)
        if isinstance(memory_or_reason, SkipReason):
            skipped[memory_or_reason] += 1
        else:
            memories.append(memory_or_reason)
    return tuple(sorted(memories, key=lambda memory: memory.memory_id)), skipped


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
) -> tuple[ElderProfile, Counter[str]]:
    """The profile from its document (empty where there is none); the language is told from the
    answers if need be.
    """
    skipped: Counter[str] = Counter()
    texts: dict[str, str] = {}
    for name, path in {"": layout.name, **layout.traits}.items() if layout else ():
        value = dig(document, path)
        text = clean_text("、".join(value) if _is_text_list(value) else value)
        if text is None or len(text) > MAX_TRAIT_CHARS:
            skipped[SkipReason.PROFILE_FIELD] += value is not None
        elif text:
            texts[name] = text
    stated = clean_text(dig(document, layout.language)) if layout and layout.language else None
    language = _stated_language(stated) if stated else None
    if language is None:
        skipped[SkipReason.LANGUAGE] += bool(stated)
        memories = list(memories)
        language = identify_language(
            (memory.answer for memory in memories), (memory.question for memory in memories)
        )
    name = texts.pop("", rules_for(language).phrases.elder)
    return ElderProfile(elder_id, name, language, dict(sorted(texts.items()))), +skipped


def dig(document: Mapping[str, object], path: str | None) -> Any:
    """The value at a dotted path, None where there is none."""
    if not path:
        return None
    if "." not in path:  # nearly always, and this runs for every field of every answer
        return document.get(path)
    value: object = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def clean_text(value: object) -> str | None:
    """Text in Unicode NFC without surrounding space, with plain newlines; None for what is not
    (valid) text.
    """
    if not isinstance(value, str):
        return None
    if not value.isascii():
        if _BROKEN_UTF8.search(value):
            return None
        value = unicodedata.normalize("NFC", value)
    return value.replace("\r\n", "\n").replace("\r", "\n").strip()


def id_text(value: object) -> str:
    """An id of any type as text, "" for None: answers and questions may store the same id in
    different types.
    """
    text = "" if value is None else str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def utc_text(value: object) -> str:
    """A time as ISO 8601 in UTC with milliseconds; "" for what is not a time. Text without a zone
    is taken as UTC.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return ""
    if not isinstance(value, datetime):
        return ""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:  # the first day of the year 1 in a zone east of Greenwich
        return ""


def _question_id(document: Mapping[str, object], layout: AnswersLayout) -> str:
    stored = id_text(dig(document, layout.question))
    return stored or f"text:{clean_text(dig(document, layout.question_text)) or ''}"


def _age(document: Mapping[str, object], layout: AnswersLayout) -> tuple[str, str, str]:
    """Order among answers to one question. The text decides last, so that the order of documents
    never does.
    """
    created = utc_text(dig(document, layout.created_at))
    return (
        utc_text(dig(document, layout.updated_at)) or created,
        created,
        repr(dig(document, layout.text)),
    )


def _memory(
    memory_id: str,
    candidate: _Candidate,
    layout: AnswersLayout,
    questions: Mapping[str, QuestionText],
    max_chars: int,
) -> Memory | SkipReason:
    document = candidate.document
    answer = clean_text(dig(document, layout.text))
    question = questions.get(candidate.question_id, QuestionText(""))
    wording = clean_text(dig(document, layout.question_text)) or question.text
    if dig(document, layout.text) is None or answer == "":
        return SkipReason.EMPTY
    if answer is None:
        return SkipReason.NOT_TEXT
    if len(answer) > max_chars:
        return SkipReason.TOO_LONG
    if not wording:
        return SkipReason.NO_QUESTION
    created = utc_text(dig(document, layout.created_at))
    by_elder = layout.relationship is None or dig(document, layout.is_self) is True
    return Memory(
        memory_id=memory_id,
        question=wording,
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
