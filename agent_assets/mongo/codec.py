"""How every document of MongoDB is decoded: one that cannot be costs itself, never the read.

Bad UTF-8 arrives as surrogates and a date that Python has no type for as a number, so that the one
value is odd and nothing else. What the driver cannot decode at all (a binary of the old subtype
with a wrong length, which the server takes) is handed to `on_broken`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from agent_assets.mongo.retry import Document

TOLERANT: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    unicode_decode_error_handler="surrogateescape",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument,
    tz_aware=True,
    unicode_decode_error_handler="surrogateescape",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


def decoded(
    batches: Iterable[Any], on_broken: Callable[[bytes], None] | None = None
) -> Iterator[Document]:
    """The documents of raw batches, in order.

    Args:
        on_broken: is given each document that cannot be decoded.
    """
    for batch in batches:
        try:
            yield from bson.decode_all(batch, TOLERANT)
        except InvalidBSON:
            yield from _one_by_one(batch, on_broken)


def raw_documents(batches: Iterable[Any]) -> Iterator[RawBSONDocument]:
    """The documents of raw batches, each decoded when a field of it is read."""
    for batch in batches:
        yield from bson.decode_all(batch, RAW)


def string_or_object_id(raw: bytes, path: str) -> object:
    """The text or ObjectId at a dotted path of a document that cannot be decoded, None where it is
    not found.

    The bytes are searched for the field's name: enough to say whose document it is.
    """
    name = path.rpartition(".")[2].encode() + b"\0"
    for kind, length in ((b"\x07", 12), (b"\x02", 0)):
        start = raw.find(kind + name)
        if start >= 0:
            value = start + 1 + len(name)
            size = length or 4 + int.from_bytes(raw[value : value + 4], "little")
            element = raw[start : value + size]
            whole = (len(element) + 5).to_bytes(4, "little") + element + b"\0"
            try:
                return next(iter(bson.decode(whole, TOLERANT).values()))
            except InvalidBSON:
                continue
    return None


def _one_by_one(batch: bytes, on_broken: Callable[[bytes], None] | None) -> Iterator[Document]:
    for raw in bson.decode_all(batch, RAW):
        try:
            yield bson.decode(bytes(raw.raw), TOLERANT)
        except InvalidBSON:
            if on_broken is not None:
                on_broken(bytes(raw.raw))
