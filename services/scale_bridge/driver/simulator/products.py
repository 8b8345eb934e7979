"""The product base of a simulated scale: kept in a file, emptied or merged into by an upload."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from libs.clock import Clock, utc_now

Document: TypeAlias = dict[str, Any]

KEYS: Final[Mapping[str, Sequence[str]]] = {
    "categories": ("idCategory",),
    "labelTemplates": ("id",),
    "lotsOfProduct": ("id",),
    "messages": ("id",),
    "productRates": ("idProduct", "productCode"),
}
"""By which of its keys an entry is the same as one that is there already, first to last."""


class ProductBase:
    """What the scale has stored. With a file, it survives the power and the process."""

    def __init__(
        self,
        document: Document,
        *,
        path: Path | None = None,
        merge_by: Sequence[str] = ("id", "code"),
        clock: Clock = utc_now,
    ) -> None:
        self.document = document
        self.updated_at: datetime | None = None
        self._path = path
        self._keys = {**KEYS, "products": merge_by}
        self._clock = clock

    @property
    def products(self) -> list[dict[str, Any]]:
        """The products, in the order of the scale."""
        found: list[dict[str, Any]] = self.document.get("products", [])
        return found

    def export(self) -> bytes:
        """The file a fetch reads: JSON as the scale writes it, with spaces."""
        return json.dumps(self.document, ensure_ascii=False).encode()

    def replace_document(self, document: Document) -> None:
        """Have `document` from now on."""
        self.document = document
        self.updated_at = self._clock()
        if self._path is not None:
            write(self._path, document)

    def imported(self, new: Document, *, into: Document, clear: bool) -> Document:
        """What an upload of `new` makes of the base `into`; keeps nothing."""
        if clear:
            return new
        merged = {**into, **new}
        for key, same in self._keys.items():
            if isinstance(new.get(key), list):
                merged[key] = merge(into.get(key, []), new[key], same)
        return merged


def merge(old: Sequence[Any], new: Sequence[Any], same: Sequence[str]) -> list[Any]:
    """`old` with the entries of `new` in it; what `new` marks as deleted is gone.

    An entry is the one that has its first key of `same`, else its second, and so on. Fields that
    `new` does not name keep their values.
    """
    rows: list[Any] = list(old)
    places = {key: _places(rows, key) for key in same}
    for entry in new:
        place = _place(entry, places)
        if place is None:
            rows.append(entry)
            place = len(rows) - 1
        else:
            rows[place] = {**rows[place], **entry}
        for key, known in places.items():
            if key in entry:
                known[str(entry[key])] = place
    return [row for row in rows if row.get("deleted") is not True]


def _places(rows: Sequence[Any], key: str) -> dict[str, int]:
    return {str(row[key]): place for place, row in enumerate(rows) if key in row}


def _place(entry: Mapping[str, Any], places: Mapping[str, Mapping[str, int]]) -> int | None:
    found = (known.get(str(entry[key])) for key, known in places.items() if key in entry)
    return next((place for place in found if place is not None), None)


def open_base(
    path: Path | None, first: Callable[[], Document], *, merge_by: Sequence[str] = ("id", "code")
) -> ProductBase:
    """The base in `path`, or `first()` if there is no such file yet. Raises ValueError, OSError."""
    if path is None or not path.exists():
        base = ProductBase(first(), path=path, merge_by=merge_by)
        base.replace_document(base.document)
        return base
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict) or not isinstance(document.get("products"), list):
        raise ValueError("the file holds no catalogue: an object with a list `products`")
    return ProductBase(document, path=path, merge_by=merge_by)


def write(path: Path, document: Document) -> None:
    """Put `document` in the place of the file, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(json.dumps(document, ensure_ascii=False).encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
