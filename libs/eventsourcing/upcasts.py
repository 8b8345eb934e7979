"""Old JSON becomes new JSON when it is read, one pure step per version; what is stored stays."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

Upcast: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


def upcast(
    name: str,
    written: int,
    current: int,
    data: bytes,
    steps: Mapping[tuple[str, int], Upcast],
) -> bytes:
    """Lift `data` of version `written` to `current`. Raises KeyError if a step is missing."""
    value: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    for version in range(written, current):
        value = steps[name, version](value)
    return msgspec.json.encode(value)
