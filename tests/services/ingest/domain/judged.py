"""One event of a batch, judged at a fixed moment."""

from datetime import UTC, datetime
from typing import Any

from contracts.ingest import ScanRecorded
from services.ingest.domain.scan import Fault, judge, read

NOW = datetime(2025, 10, 31, 9, tzinfo=UTC)
NOW_MS = 1_761_901_200_000
FLOOR = datetime(2015, 1, 1, tzinfo=UTC)
FLOOR_MS = 1_420_070_400_000
V4 = "c6414b06-5a3c-4c0e-9e0f-2b1d3f4a5b6c"


def event(**changes: Any) -> dict[str, Any]:
    told = {
        "uuid": V4,
        "ts": NOW_MS,
        "type": "ITEM",
        "operator": "anna",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": "2042469234860",
        "details": "",
        "source": "pwa",
    }
    return {name: value for name, value in (told | changes).items() if value is not ...}


def outcome(value: object) -> ScanRecorded | Fault:
    reading = read(value)
    if isinstance(reading, Fault):
        return reading
    return judge(reading, received_at=NOW, not_before=FLOOR)


def accepted(**changes: Any) -> ScanRecorded:
    found = outcome(event(**changes))
    assert isinstance(found, ScanRecorded)
    return found


def refused(**changes: Any) -> str:
    found = outcome(event(**changes))
    assert isinstance(found, Fault)
    return found.code
