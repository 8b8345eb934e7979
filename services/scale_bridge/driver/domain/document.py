"""The document of a catalogue: parsed and validated (R5), serialized, its products by key."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any, Final, TypeAlias

from services.scale_bridge.driver.domain.fault import BadCatalogue, Flaw

Product: TypeAlias = Mapping[str, Any]
Document: TypeAlias = dict[str, Any]

LARGEST_BYTES: Final = 64 * 1024 * 1024
"""R21."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Strictness:
    """The rules for a fetched file, which can be relaxed for one scale, with an audit (R5).

    Without `finite_numbers` NaN and infinity are read as null.
    """

    chunks: bool = True
    hash: bool = True
    unique_keys: bool = True
    finite_numbers: bool = True
    unique_plus: bool = True


STRICT: Final = Strictness()

LONGEST_KEY: Final = 100
"""In characters, of a PLU, code or id. They are keys of tables, and an index entry of Postgres is
limited to 2,700 bytes."""
LARGEST_PRODUCT: Final = 64 * 1024
"""In bytes of JSON: an event holds a product twice, before and after."""
_NUL: Final = b"\\u0000"


def parse(file: bytes, strictness: Strictness = STRICT) -> Document:
    """The catalogue in a file of a scale. Raises BadCatalogue."""
    if len(file) > LARGEST_BYTES:
        raise BadCatalogue(Flaw.TOO_LARGE)
    document: Document = _parsed(file, strictness)
    check(document, strictness)
    check_storable(document, file)
    return document


def check(document: object, strictness: Strictness = STRICT) -> None:
    """Validate a document: an object with a list of objects, PLUs unique as text.

    Products without a PLU are allowed; those marked as deleted may have the PLU of another.
    Raises BadCatalogue.
    """
    if not isinstance(document, dict):
        raise BadCatalogue(Flaw.NOT_AN_OBJECT)
    items = document.get("products")
    if not isinstance(items, list):
        raise BadCatalogue(Flaw.NO_PRODUCTS)
    if not all(isinstance(item, dict) for item in items):
        raise BadCatalogue(Flaw.NOT_A_PRODUCT)
    if strictness.unique_plus and (plu := _repeated_plu(items)) is not None:
        raise BadCatalogue(Flaw.DUPLICATE_PLU, product=plu, field="pluNumber")


def check_storable(document: Document, file: bytes) -> None:
    """Check that events and tables can hold a valid catalogue, which was parsed from `file`.

    It must have no NUL character, no key that is too long and no product that is too large.
    Raises BadCatalogue.
    """
    for product, field in _unstorable(document, file):
        raise BadCatalogue(Flaw.NOT_STORABLE, product=product, field=field)


def plu_of(product: Product) -> str | None:
    """The PLU as text, by which products are compared; None if there is none."""
    return text_of(product.get("pluNumber"))


def products(document: Mapping[str, Any]) -> Sequence[Product]:
    """The products of a valid catalogue."""
    items: Sequence[Product] = document["products"]
    return items


def is_deleted(product: Mapping[str, Any]) -> bool:
    """Whether a product is marked as deleted (§3)."""
    return product.get("deleted") is True


def position_of(document: Mapping[str, Any], plu: str) -> int | None:
    """The position of the first product with this PLU, which is compared as text (§1.1).

    The position of one marked as deleted is returned only if no other has the PLU.
    """
    items = products(document)
    positions = [position for position, item in enumerate(items) if plu_of(item) == plu]
    alive = (position for position in positions if not is_deleted(items[position]))
    return next(alive, next(iter(positions), None))


def by_key(document: Mapping[str, Any]) -> Mapping[str, Product]:
    """The products by their keys (see `key_of`). One marked as deleted yields to any other."""
    by_key: dict[str, Product] = {}
    for item in products(document):
        key = key_of(item)
        if not is_deleted(item) or is_deleted(by_key.get(key, item)):
            by_key[key] = item
    return by_key


def serialize(document: Mapping[str, Any]) -> bytes:
    """The file that is sent to a scale: compact JSON, keys in their order. Raises BadCatalogue."""
    try:
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        file = text.encode()
    except UnicodeEncodeError:
        raise BadCatalogue(Flaw.NOT_JSON) from None
    except ValueError:
        raise BadCatalogue(Flaw.NOT_FINITE) from None
    except (TypeError, RecursionError):
        raise BadCatalogue(Flaw.NOT_JSON) from None
    if len(file) > LARGEST_BYTES:
        raise BadCatalogue(Flaw.TOO_LARGE)
    return file


def digest(file: bytes) -> str:
    """The MD5 of a file as the protocol uses it, in hex."""
    return md5(file, usedforsecurity=False).hexdigest()


def select(document: Mapping[str, Any], keys: Collection[str]) -> Document:
    """The catalogue with only the products that have these keys (see `key_of`).

    One marked as deleted is included only if no other has its key.
    """
    known = by_key(document)
    return {
        **document,
        "products": [
            item
            for item in products(document)
            if (key := key_of(item)) in keys and is_deleted(item) is is_deleted(known[key])
        ],
    }


def key_of(product: Product) -> str:
    """The key of a product: its PLU, else `code:…`, else `id:…`. A PLU has no colon."""
    plu = plu_of(product)
    if plu is not None:
        return plu
    others = ((name, text_of(product.get(name))) for name in ("code", "id"))
    return next((f"{name}:{text}" for name, text in others if text is not None), "?")


def text_of(value: object) -> str | None:
    """A PLU, code or id as the text by which it is compared; 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)


def _repeated_plu(items: Sequence[Product]) -> str | None:
    seen: set[str] = set()
    for item in items:
        plu = None if is_deleted(item) else plu_of(item)
        if plu is None:
            continue
        if plu in seen:
            return plu
        seen.add(plu)
    return None


def _unstorable(document: Document, file: bytes) -> Iterator[tuple[str, str]]:
    """The key of the product, which may be empty, and the field of all that cannot be stored."""
    if _NUL in file:
        yield from _with_nul(document)
    for item in products(document):
        for name in ("pluNumber", "code", "id"):
            if len(text_of(item.get(name)) or "") > LONGEST_KEY:
                yield key_of(item), name
        if len(file) > LARGEST_PRODUCT and _size(item) > LARGEST_PRODUCT:
            yield key_of(item), max(item, key=lambda name: _size(item[name]))


def _with_nul(document: Document) -> Iterator[tuple[str, str]]:
    for item in products(document):
        yield from ((key_of(item), name) for name, value in item.items() if _has_nul(name, value))
    lists = ((name, value) for name, value in document.items() if name != "products")
    yield from (("", name) for name, value in lists if _has_nul(name, value))


def _has_nul(*values: object) -> bool:
    left = list(values)
    while left:
        value = left.pop()
        if isinstance(value, str) and "\0" in value:
            return True
        if isinstance(value, Mapping):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value
    return False


def _size(value: object) -> int:
    try:
        return len(json.dumps(value, ensure_ascii=False).encode())
    except RecursionError:
        # A value nested so deep cannot be serialized.
        return LARGEST_BYTES


def _parsed(file: bytes, strictness: Strictness) -> Any:
    hooks: dict[str, Any] = {"parse_constant": _null, "parse_float": _finite_or_null}
    if strictness.unique_keys:
        hooks["object_pairs_hook"] = _unique
    if strictness.finite_numbers:
        hooks |= {"parse_constant": _refuse, "parse_float": _finite}
    try:
        document = json.loads(file.decode(), **hooks)
        # Half a surrogate pair is allowed in JSON, and cannot be serialized.
        if b"\\u" in file:
            json.dumps(document, ensure_ascii=False).encode()
    except BadCatalogue:
        raise
    except (ValueError, RecursionError):
        raise BadCatalogue(Flaw.NOT_JSON) from None
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise BadCatalogue(Flaw.DUPLICATE_KEY)
    return result


def _refuse(_: str) -> float:
    raise BadCatalogue(Flaw.NOT_FINITE)


def _null(_: str) -> None:
    """NaN where the rule is relaxed: JSON with it could not be stored or sent."""


def _finite_or_null(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadCatalogue(Flaw.NOT_FINITE)
    return number
