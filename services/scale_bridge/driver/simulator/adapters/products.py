"""The product base of a simulated scale: in memory or a file, replaced or merged by an upload."""

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
"""The keys by which entries of a list are the same, first to last."""


class ProductBase:
    """The stored catalogue. With a `path` it survives the process."""

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
        products: list[dict[str, Any]] = self.document.get("products", [])
        return products

    def export(self) -> bytes:
        """The file that a fetch reads: JSON with spaces, as scales write it."""
        return json.dumps(self.document, ensure_ascii=False).encode()

    def replace_document(self, document: Document) -> None:
        """Store `document` instead."""
        self.document = document
        self.updated_at = self._clock()
        if self._path is not None:
            write(self._path, document)

    def imported(self, new: Document, *, into: Document, clear: bool) -> Document:
        """The base `into` after an upload of `new`; stores nothing."""
        if clear:
            return new
        merged = {**into, **new}
        for key, same in self._keys.items():
            if isinstance(new.get(key), list):
                merged[key] = merge(into.get(key, []), new[key], same)
        return merged


def merge(old: Sequence[Any], new: Sequence[Any], same: Sequence[str]) -> list[Any]:
    """The entries of `old`, updated and extended by those of `new`, without deleted ones.

    Entries are the same if they have the same first key of `same`, else the same second, and so
    on. Fields that are absent in `new` stay.
    """
    rows: list[Any] = list(old)
    positions = {key: _positions(rows, key) for key in same}
    for entry in new:
        position = _position(entry, positions)
        if position is None:
            rows.append(entry)
            position = len(rows) - 1
        else:
            rows[position] = {**rows[position], **entry}
        for key, known in positions.items():
            if key in entry:
                known[str(entry[key])] = position
    return [row for row in rows if row.get("deleted") is not True]


def _positions(rows: Sequence[Any], key: str) -> dict[str, int]:
    return {str(row[key]): position for position, row in enumerate(rows) if key in row}


def _position(entry: Mapping[str, Any], positions: Mapping[str, Mapping[str, int]]) -> int | None:
    known = (rows.get(str(entry[key])) for key, rows in positions.items() if key in entry)
    return next((position for position in known if position is not None), None)


def open_base(
    path: Path | None, first: Callable[[], Document], *, merge_by: Sequence[str] = ("id", "code")
) -> ProductBase:
    """The base in a file, made of `first()` if there is none. Raises ValueError, OSError."""
    if path is None or not path.exists():
        base = ProductBase(first(), path=path, merge_by=merge_by)
        base.replace_document(base.document)
        return base
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict) or not isinstance(document.get("products"), list):
        raise ValueError("the file holds no catalogue: an object with a list `products`")
    return ProductBase(document, path=path, merge_by=merge_by)


def write(path: Path, document: Document) -> None:
    """Replace the file atomically."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(json.dumps(document, ensure_ascii=False).encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
