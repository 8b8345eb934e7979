"""A catalogue: when it is accepted (R5), how it is written, which product is which."""

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
    """What must be right about a fetched file. Relaxed per scale, explicitly and audited (R5).

    Without `finite_numbers` a number that is none is read as null.
    """

    chunks: bool = True
    hash: bool = True
    unique_keys: bool = True
    finite_numbers: bool = True
    unique_plus: bool = True


STRICT: Final = Strictness()

LONGEST_KEY: Final = 100
"""Of a PLU, code or id in characters: they are keys of tables, whose indexes take no more than
2,700 bytes of all a key's columns together."""
LARGEST_PRODUCT: Final = 64 * 1024
"""In bytes of JSON: a product has to fit into an event, beside what it was before."""
_NUL: Final = b"\\u0000"


def read(file: bytes, strictness: Strictness = STRICT) -> Document:
    """The catalogue in a file that a scale gave. Raises BadCatalogue."""
    if len(file) > LARGEST_BYTES:
        raise BadCatalogue(Flaw.TOO_LARGE)
    document: Document = _parsed(file, strictness)
    check(document, strictness)
    check_storable(document, file)
    return document


def check(document: object, strictness: Strictness = STRICT) -> None:
    """Accept a document as a catalogue: an object with a list of objects, PLUs unique as text.

    Items without a PLU are allowed, and products marked as deleted may have the PLU of another.
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
    """Accept an accepted catalogue, read from this file, as what events and tables can hold.

    That is: no NUL character anywhere, and no product or key that is too long. Raises BadCatalogue.
    """
    for product, field in _unstorable(document, file):
        raise BadCatalogue(Flaw.NOT_STORABLE, product=product, field=field)


def plu_of(product: Product) -> str | None:
    """The PLU as text, by which products are compared; None if it has none."""
    return text_of(product.get("pluNumber"))


def products(document: Mapping[str, Any]) -> Sequence[Product]:
    """The products of an accepted catalogue."""
    found: Sequence[Product] = document["products"]
    return found


def is_deleted(product: Mapping[str, Any]) -> bool:
    """Whether a product is marked as deleted: it says nothing of what is sold (§3)."""
    return product.get("deleted") is True


def find(document: Mapping[str, Any], plu: str) -> int | None:
    """The place of the first product with this PLU: `01` is not 1 (§1.1).

    A product marked as deleted is meant only if no other has the PLU.
    """
    places = [place for place, item in enumerate(products(document)) if plu_of(item) == plu]
    alive = (place for place in places if not is_deleted(products(document)[place]))
    return next(alive, next(iter(places), None))


def by_key(document: Mapping[str, Any]) -> Mapping[str, Product]:
    """The products by their keys (see `key_of`), those that are marked as deleted behind others."""
    found: dict[str, Product] = {}
    for item in products(document):
        key = key_of(item)
        if not is_deleted(item) or is_deleted(found.get(key, item)):
            found[key] = item
    return found


def written(document: Mapping[str, Any]) -> bytes:
    """The catalogue as it goes to a scale: compact, keys in their order. Raises BadCatalogue."""
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


def only(document: Mapping[str, Any], keys: Collection[str]) -> Document:
    """The same catalogue with only the products that have these keys (see `key_of`).

    One that is marked as deleted goes along only if no other has its key.
    """
    every = by_key(document)
    return {
        **document,
        "products": [
            item
            for item in products(document)
            if (key := key_of(item)) in keys and is_deleted(item) is is_deleted(every[key])
        ],
    }


def key_of(product: Product) -> str:
    """The PLU; a product without one goes by `code:…`, else by `id:…`. A PLU has no colon."""
    plu = plu_of(product)
    if plu is not None:
        return plu
    named = ((name, text_of(product.get(name))) for name in ("code", "id"))
    return next((f"{name}:{text}" for name, text in named if text is not None), "?")


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
    """The key of a product, or nothing, and the name of a field, of each that cannot be stored."""
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
    beside = ((name, value) for name, value in document.items() if name != "products")
    yield from (("", name) for name, value in beside if _has_nul(name, value))


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
        # Nothing that is nested so deep can be written again.
        return LARGEST_BYTES


def _parsed(file: bytes, strictness: Strictness) -> Any:
    hooks: dict[str, Any] = {"parse_constant": _nothing, "parse_float": _finite_or_nothing}
    if strictness.unique_keys:
        hooks["object_pairs_hook"] = _unique
    if strictness.finite_numbers:
        hooks |= {"parse_constant": _constant, "parse_float": _finite}
    try:
        document = json.loads(file.decode(), **hooks)
        # Half a surrogate pair is allowed in JSON, and cannot be written again.
        if b"\\u" in file:
            json.dumps(document, ensure_ascii=False).encode()
    except BadCatalogue:
        raise
    except (ValueError, RecursionError):
        raise BadCatalogue(Flaw.NOT_JSON) from None
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise BadCatalogue(Flaw.DUPLICATE_KEY)
    return made


def _constant(_: str) -> float:
    raise BadCatalogue(Flaw.NOT_FINITE)


def _nothing(_: str) -> None:
    """Where the rule is relaxed: no JSON could be kept, shown or sent with it."""


def _finite_or_nothing(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadCatalogue(Flaw.NOT_FINITE)
    return number
