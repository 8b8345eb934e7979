"""Invalid events mixed among valid ones, which they must not affect."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Event: TypeAlias = dict[str, Any]
"""An event as it goes over the wire (spec §2.3)."""


def _with(**changes: object) -> Callable[[Event], Event]:
    return lambda event: event | changes


PRANKS: Final[Mapping[str, Callable[[Event], Event]]] = {
    "NUL": _with(code="0000\0000"),
    "half a character": _with(code="apple \ud83c"),
    "501 characters": _with(code="9" * 501),
    "seconds": lambda event: event | {"ts": event["ts"] // 1000},
    "no UUID": lambda event: event | {"uuid": f"no-uuid-{event['uuid']}"},
    "a UUID in capitals": lambda event: event | {"uuid": event["uuid"].upper()},
    "SQL": _with(code="'); DROP TABLE events; --"),
    "HTML": _with(code="<img src=x onerror=alert(1)>", details="<script>alert(2)</script>"),
    "a formula": _with(code='=HYPERLINK("http://example.com")'),
    "an unknown type": _with(type="WEIGHED"),
}
"""By what is wrong. Each makes an honest ITEM into something else."""
