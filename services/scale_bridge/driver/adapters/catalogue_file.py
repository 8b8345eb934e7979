"""Reading a scale's file fast: most are in order, and the strict reader is slow at saying so."""

import msgspec

from services.scale_bridge.driver.domain import document as documents
from services.scale_bridge.driver.domain.document import (
    LARGEST_BYTES,
    STRICT,
    Document,
    Strictness,
)


def read(file: bytes, strictness: Strictness = STRICT) -> Document:
    """The same as the domain's `read`, whose word counts whenever there is any doubt.

    Raises BadCatalogue.
    """
    document = _in_order(file) if len(file) <= LARGEST_BYTES else None
    if document is None:
        return documents.read(file, strictness)
    documents.check(document, strictness)
    documents.check_storable(document, file)
    return document


def _in_order(file: bytes) -> Document | None:
    """What the file says if it is an object, certainly without a repeated key; else None.

    msgspec refuses all that the strict reader refuses, but for repeated keys, of which it keeps
    the last. Then fewer quotation marks remain than there were; only spelt-out ones could hide it.
    """
    try:
        found = msgspec.json.decode(file)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(found, dict) or b"\\u0022" in file:
        return None
    return found if msgspec.json.encode(found).count(b'"') == file.count(b'"') else None
