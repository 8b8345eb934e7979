"""A catalogue: when it is accepted (R5), how it is written, which product is which."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any, Final, TypeAlias

from services.scale_bridge.domain.fault import BadCatalogue, Flaw

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


def read(file: bytes, strictness: Strictness = STRICT) -> Document:
    """The catalogue in a file that a scale gave. Raises BadCatalogue."""
    if len(file) > LARGEST_BYTES:
        raise BadCatalogue(Flaw.TOO_LARGE)
    document: Document = _parsed(file, strictness)
    check(document, strictness)
    return document


def check(document: object, strictness: Strictness = STRICT) -> None:
    """Accept a document as a catalogue: an object with a list of objects, PLUs unique as text.

    Items without a PLU are allowed. Raises BadCatalogue.
    """
    if not isinstance(document, dict):
        raise BadCatalogue(Flaw.NOT_AN_OBJECT)
    items = document.get("products")
    if not isinstance(items, list):
        raise BadCatalogue(Flaw.NO_PRODUCTS)
    if not all(isinstance(item, dict) for item in items):
        raise BadCatalogue(Flaw.NOT_A_PRODUCT)
    plus = [plu for item in items if (plu := plu_of(item)) is not None]
    if strictness.unique_plus and len(set(plus)) < len(plus):
        raise BadCatalogue(Flaw.DUPLICATE_PLU)


def plu_of(product: Product) -> str | None:
    """The PLU as text, by which products are compared; None if it has none."""
    return text_of(product.get("pluNumber"))


def products(document: Mapping[str, Any]) -> Sequence[Product]:
    """The products of an accepted catalogue."""
    found: Sequence[Product] = document["products"]
    return found


def find(document: Mapping[str, Any], plu: str) -> int | None:
    """The place of the first product with this PLU: `01` is not 1 (§1.1)."""
    places = enumerate(products(document))
    return next((place for place, item in places if plu_of(item) == plu), None)


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
    """The same catalogue with only the products that have these keys (see `key_of`)."""
    return {**document, "products": [p for p in products(document) if key_of(p) in keys]}


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
