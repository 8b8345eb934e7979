"""Events, commands and other records, with the usual in the fields a test does not care for."""

from dataclasses import MISSING, fields
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
    """Makes records of any dataclass.

    A field has what is given, else the usual of its name; else its default, the moment if it is
    `now` or ends in `_at`, `anna` if it ends in `_by`, and at last its own name.
    """

    def __init__(self, now: datetime | None = None, **usual: Any) -> None:
        self.now = now
        self.usual = COMMON | usual

    def __call__(self, kind: type[Record], /, **given: Any) -> Record:
        values = dict(given)
        for one in fields(kind):  # type: ignore[arg-type]
            if one.name in given:
                continue
            if one.name in self.usual:
                values[one.name] = self.usual[one.name]
            elif one.default is MISSING and one.default_factory is MISSING:
                values[one.name] = self._by_name(one.name)
        return kind(**values)

    def _by_name(self, name: str) -> Any:
        if name == "now" or name.endswith("_at"):
            return self.now
        return "anna" if name.endswith("_by") else name
