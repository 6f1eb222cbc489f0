"""What elders are called: one query for all of them."""

from pymongo.database import Database

from agent_assets.mongo.codec import decoded
from agent_assets.mongo.layout import MongoLayout, elder_id_of
from agent_assets.mongo.retry import Document, Retry, with_retries
from agent_assets.mongo.texts import clean_text
from agent_assets.mongo.values import dig


def elder_names(
    db: Database[Document], layout: MongoLayout, *, retry: Retry | None = None
) -> dict[str, str]:
    """Name by elder id, of the elders whose profile has one.

    Raises:
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    profiles = layout.profiles
    if profiles is None:
        return {}
    fields = {"_id": 0, profiles.id: 1, profiles.name: 1}

    def read() -> dict[str, str]:
        batches = db[profiles.collection].find_raw_batches({}, projection=fields)
        pairs = (
            (elder_id_of(dig(document, profiles.id), layout.elder_id_type), document)
            for document in decoded(batches)
        )
        named = ((elder, clean_text(dig(document, profiles.name))) for elder, document in pairs)
        return {elder: name for elder, name in named if elder and name}

    return with_retries(db.client, read, retry or Retry())
