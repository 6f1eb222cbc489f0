"""Where an elder's answers are in MongoDB: two known layouts, every name of which can be
overridden.

`layout: app` picks a preset as it is; a mapping overrides parts of it:

    layout:
      preset: app
      answers: {collection: replies, updated_at: modifiedAt}
      profiles: null
"""

import re
from typing import Annotated, Any, Literal

from bson import Code, ObjectId
from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from agent_assets.errors import MemoryDataError
from agent_assets.store.partition_keys import elder_id_of_key, partition_key
from agent_assets.strict_model import StrictModel

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")  # lower case, or one elder could be two partitions

Name = Annotated[
    str, Field(pattern=r"^[^$.\s][^$\s]*$")
]  # a collection, or a field, dotted where it is nested
IdType = Literal["string", "objectid"]

_SERVICE: dict[str, Any] = {
    "elder_id_type": "string",
    "answers": {"collection": "answers", "elder": "elderId"},
    "questions": {"collection": "questions", "text": "questionText", "category": "category"},
    "profiles": {
        "collection": "elders",
        "id": "elderId",
        "name": "name",
        "language": "language",
        "traits": {
            "personality": "personality",
            "hobby": "hobby",
            "catchphrase": "catchphrase",
            "life_motto": "lifeMotto",
        },
    },
}
_APP: dict[str, Any] = {
    "elder_id_type": "objectid",
    "answers": {
        "collection": "answers",
        "elder": "targetUserId",
        "category": "questionLayer",
        "answered_by": "userId",
        "is_self": "isSelfAnswer",
        "relationship": "relationshipType",
    },
    "questions": {"collection": "questions", "text": "question", "category": "layer"},
    "profiles": {
        "collection": "users",
        "id": "_id",
        "name": "name",
        "language": "profile.language",
        "traits": {
            "personality": "companionChat.roleCard.personality",
            "background": "companionChat.roleCard.background",
            "hobby": "companionChat.roleCard.interests",
            "values": "companionChat.roleCard.values",
            "communication_style": "companionChat.roleCard.communicationStyle",
            "catchphrase": "profile.catchphrase",
            "life_motto": "profile.lifeMotto",
        },
    },
}
_PRESETS = {"service": _SERVICE, "app": _APP}


class _FromPreset(StrictModel):
    """Names that a preset has: its JSON schema asks for none of them."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        handler.resolve_ref_schema(schema).pop("required", None)
        return schema


class AnswersLayout(_FromPreset):
    """The collection of answers. A name that is None is a thing this layout does not have."""

    collection: Name = Field(description="Name of the collection.")
    elder: Name = Field(description="Whom the answer is about: the partition.")
    question: Name = Field("questionId", description="Refers to the questions collection.")
    text: Name = Field("answer", description="The answer itself.")
    question_text: Name | None = Field(
        None, description="The question's wording, where the answer carries it."
    )
    category: Name | None = Field(None, description="Goes before the question's own category.")
    answered_by: Name | None = Field(None, description="Who told it.")
    is_self: Name | None = Field(None, description="True: the elder answered.")
    relationship: Name | None = Field(
        None, description="What they are to the elder: family or friend."
    )
    created_at: Name = Field("createdAt", description="When it was told first.")
    updated_at: Name = Field(
        "updatedAt", description="Where a document lacks it, its created_at counts."
    )


class QuestionsLayout(_FromPreset):
    """The collection of questions, shared by all elders."""

    collection: Name = Field(description="Name of the collection.")
    id: Name = Field("_id", description="What an answer refers to.")
    text: Name = Field(description="The question's wording.")
    category: Name | None = Field(None, description="What the question is about.")


class ProfilesLayout(_FromPreset):
    """The collection that says who the elders are; an elder who is not in it gets a plain
    profile.
    """

    collection: Name = Field(description="Name of the collection.")
    id: Name = Field(description="The elder's id.")
    name: Name = Field(description="What the elder is called.")
    language: Name | None = Field(
        None, description="The language the elder speaks, by its ISO 639 code."
    )
    traits: dict[str, Name] = Field(
        default_factory=dict, description="Where each trait is. Replaces the preset's."
    )


class MongoLayout(_FromPreset):
    """Collections and field names of one database. Built from a preset's name, or a mapping that
    overrides parts.
    """

    preset: Literal["service", "app"] = Field(
        "service", description="Where the names come from that are not given here."
    )
    elder_id_type: IdType = Field(
        description="How elder ids are stored; an ObjectId is written as 24 hex digits."
    )
    answers: AnswersLayout
    questions: QuestionsLayout
    profiles: ProfilesLayout | None = Field(
        description="Where elders are described; None: nowhere."
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Of what may be written: the name of a preset, or a mapping."""
        mapping = super().__get_pydantic_json_schema__(core_schema, handler)
        return {"anyOf": [{"enum": list(_PRESETS)}, mapping]}

    @classmethod
    def service(cls) -> "MongoLayout":
        """String ids; questions and answers by `elderId`."""
        return cls.model_validate("service")

    @classmethod
    def app(cls) -> "MongoLayout":
        """ObjectIds; answers of the elder, of family and of friends about `targetUserId`."""
        return cls.model_validate("app")

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, value: object) -> Any:
        value = {"preset": value} if isinstance(value, str) else value
        if not isinstance(value, dict) or value.get("preset", "service") not in _PRESETS:
            return value
        merged = {**_PRESETS[value.get("preset", "service")]}
        for key, override in value.items():
            base = merged.get(key)
            merged[key] = (
                {**base, **override}
                if isinstance(base, dict) and isinstance(override, dict)
                else override
            )
        return merged


def check_elder_id(elder_id: str, id_type: IdType) -> None:
    """Raises MemoryDataError: `elder_id` is not a partition key, or not an ObjectId where the
    layout stores those.
    """
    if elder_id_of_key(elder_id) is None:
        key = partition_key(elder_id)
        raise MemoryDataError(
            f"The elder id {elder_id[:80]!r} cannot be used.",
            next_step=f"use {key}, its partition key."
            if key
            else "use the elder's id as text of up to 200 characters, counted as they stand in "
            "an address.",
        )
    if id_type == "objectid" and _OBJECT_ID.fullmatch(elder_id) is None:
        raise MemoryDataError(
            f"The elder id {elder_id!r} is not an ObjectId, which this layout stores.",
            next_step="use the 24 hex digits of the elder's _id, or set `elder_id_type: string` "
            "in the layout.",
        )


def stored_id(elder_id: str, id_type: IdType) -> str | ObjectId:
    """A partition key (already checked) as the database stores the elder's id."""
    return ObjectId(elder_id) if id_type == "objectid" else elder_id_of_key(elder_id) or ""


def elder_id_of(stored: object, id_type: IdType) -> str | None:
    """The partition key of a stored id; None where it has the wrong type or cannot have one."""
    if id_type == "objectid":
        return str(stored) if isinstance(stored, ObjectId) else None
    # JavaScript code is a `str` to the driver, and to MongoDB another type.
    if not isinstance(stored, str) or isinstance(stored, Code):
        return None
    return partition_key(stored)
