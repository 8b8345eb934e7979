"""Events, commands and other records, with the usual in the fields a test does not care for."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from typing import Any, TypeVar

Record = TypeVar("Record")

COMMON: dict[str, Any] = {
    "bridge": None,
    "result": None,
    "full": False,
    "attempt": 1,
    "attempts": 1,
    "description": "",
    "code": "",
    "detail": "",
}


class Usual:
    """Makes records of any dataclass or named tuple.

    A field has what is given, else the usual of its name; else its default, the moment if it is
    `now` or ends in `_at`, `anna` if it ends in `_by`, and at last its own name.
    """

    def __init__(self, now: datetime | None = None, **usual: Any) -> None:
        self.now = now
        self.usual = COMMON | usual

    def __call__(self, kind: type[Record], /, **given: Any) -> Record:
        values = dict(given)
        for name, is_required in _fields_of(kind):
            if name in given:
                continue
            if name in self.usual:
                values[name] = self.usual[name]
            elif is_required:
                values[name] = self._by_name(name)
        return kind(**values)

    def _by_name(self, name: str) -> Any:
        if name == "now" or name.endswith("_at"):
            return self.now
        return "anna" if name.endswith("_by") else name


def _fields_of(kind: Any) -> Iterator[tuple[str, bool]]:
    """The names of the fields, and whether they have no default."""
    if is_dataclass(kind):
        for one in fields(kind):
            yield one.name, one.default is MISSING and one.default_factory is MISSING
    else:
        yield from ((name, name not in kind._field_defaults) for name in kind._fields)
