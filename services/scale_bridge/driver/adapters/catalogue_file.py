"""A fast parser for the files of scales; what it does not accept goes to the strict parser."""

import msgspec

from services.scale_bridge.driver.domain import document as documents
from services.scale_bridge.driver.domain.document import (
    LARGEST_BYTES,
    STRICT,
    Document,
    Strictness,
)


def parse(file: bytes, strictness: Strictness = STRICT) -> Document:
    """The same result as `document.parse`, which decides on every file this one cannot.

    Raises BadCatalogue.
    """
    document = _parsed(file) if len(file) <= LARGEST_BYTES else None
    if document is None:
        return documents.parse(file, strictness)
    documents.check(document, strictness)
    documents.check_storable(document, file)
    return document


def _parsed(file: bytes) -> Document | None:
    """The object in the file, None unless it is one that certainly has no repeated key.

    msgspec rejects all that the strict parser rejects except repeated keys, of which it returns the
    last. Then the result has fewer quotation marks than the file; only escaped ones could hide it.
    """
    try:
        document = msgspec.json.decode(file)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(document, dict) or b"\\u0022" in file:
        return None
    return document if msgspec.json.encode(document).count(b'"') == file.count(b'"') else None
