"""Events of scales as read models meet them: in streams, one after the other."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.envelope import Envelope
from contracts.scale_bridge import (
    DeviceId,
    OperationApplied,
    OperationEnded,
    OperationId,
    OperationQueued,
    OperationSending,
    ProductsShown,
    ScaleBridgeEvent,
    ScheduleCalendar,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
    ScheduleSkipped,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
USUAL: Final[dict[str, Any]] = {
    "attempt": 1,
    "attempts": 1,
    "bridge": None,
    "calendar": None,
    "content": "?",
    "detail": "",
    "full": False,
    "holder": "embedded",
    "interval_minutes": 60,
    "items": 1,
    "part": 0,
    "reason": "late",
    "result": None,
    "revision": 1,
    "set_by": "anna",
}
"""Values of fields that a test does not mention, by their names."""


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def device_id(number: int = 1) -> DeviceId:
    return DeviceId(UUID(int=number))


def operation_id(number: int) -> OperationId:
    return OperationId(UUID(int=1_000_000 + number))


class Heard:
    """A history: each event in its stream with the next version, as the log would have it."""

    usual: dict[str, Any] = USUAL

    def __init__(self, tenant: str = "demo") -> None:
        self.tenant = tenant
        self.events: list[Envelope[ScaleBridgeEvent]] = []
        self._versions: dict[str, int] = {}
        self._ids = count(1)

    def __call__(self, event: ScaleBridgeEvent) -> Envelope[ScaleBridgeEvent]:
        stream, at = _place(event)
        version = None
        if not isinstance(event, ProductsShown):
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
        envelope = Envelope(
            event_id=uuid5(UUID(int=0), f"{self.tenant} {next(self._ids)}"),
            tenant=self.tenant,
            stream=stream,
            version=version,
            occurred_at=at,
            recorded_at=at,
            correlation_id=None,
            causation_id=None,
            actor=None,
            traceparent=None,
            event=event,
        )
        self.events.append(envelope)
        return envelope

    def add(
        self, kind: type[Any], of: int = 1, by: int = 1, /, *, at: float = 0, **given: Any
    ) -> None:
        """An event of a device, and of an operation if it names one; moments are `at` a minute."""
        names = [field.name for field in fields(kind)]
        moments = {name: minute(at) for name in names if name.endswith("_at")}
        ids = {"device_id": device_id(of), "operation_id": operation_id(by)}
        values = self.usual | moments | ids | given
        self(kind(**{name: values[name] for name in names if name in values}))

    def shown(
        self,
        at: float,
        shown: dict[str, dict[str, Any]],
        *gone: str,
        of: int = 1,
        by: int = 1,
        part: int = 0,
    ) -> None:
        self.add(ProductsShown, of, by, at=at, part=part, shown=shown, gone=gone)

    def queued(
        self, number: int, kind: str = "upload", *, at: float = 0, of: int = 1, by: str = "anna"
    ) -> None:
        deadline = minute(at + 2)
        self.add(OperationQueued, of, number, at=at, kind=kind, asked_by=by, deadline_at=deadline)

    def sending(self, number: int, *, at: float = 0, of: int = 1, revision: int = 1) -> None:
        self.add(OperationSending, of, number, at=at, revision=revision)

    def applied(self, number: int, *, at: float = 0, of: int = 1, revision: int = 1) -> None:
        self.add(OperationApplied, of, number, at=at, revision=revision)

    def ended(
        self,
        number: int,
        kind: str = "upload",
        outcome: str = "verified",
        code: str = "",
        *,
        of: int = 1,
        **more: Any,
    ) -> None:
        given = {"content": None, "items": None} | more
        self.add(OperationEnded, of, number, kind=kind, outcome=outcome, code=code, **given)

    def done(
        self,
        number: int,
        kind: str = "upload",
        outcome: str = "verified",
        code: str = "",
        *,
        at: float = 0,
        of: int = 1,
        detail: str = "",
        by: str = "anna",
    ) -> None:
        """An operation from its beginning to its end."""
        self.queued(number, kind, at=at, of=of, by=by)
        self.sending(number, at=at, of=of)
        self.ended(number, kind, outcome, code, at=at, of=of, detail=detail)

    def schedule_set(
        self, *, of: int = 1, enabled: bool = True, due: float = 60, at: tuple[str, ...] = ()
    ) -> None:
        calendar = ScheduleCalendar(
            at=at,
            weekdays=("mon", "sat"),
            zone="Europe/Berlin",
            jitter_minutes=10,
            missed="skip",
            grace_minutes=15,
        )
        next_run_at = minute(due) if enabled else None
        given: dict[str, Any] = {"enabled": enabled, "next_run_at": next_run_at}
        self.add(ScheduleSet, of, **given, calendar=calendar if at else None)

    def schedule_skipped(self, *, of: int = 1, due: float = 60, runs: int = 1) -> None:
        moments = {"due_at": minute(due), "next_run_at": minute(due + 60)}
        self.add(ScheduleSkipped, of, at=due + 20, late_seconds=1200.0, runs=runs, **moments)

    def schedule_claimed(self, number: int, *, of: int = 1, due: float = 120) -> None:
        moments = {"next_run_at": minute(due), "slot": minute(due - 60)}
        self.add(ScheduleClaimed, of, number, at=60, **moments)

    def schedule_ran(self, number: int, *, of: int = 1, error: str | None = None) -> None:
        status = "OK" if error is None else "ERROR"
        self.add(ScheduleRan, of, number, at=61, status=status, error=error)


def _place(event: ScaleBridgeEvent) -> tuple[str, datetime]:
    """The stream of an event, and when it happened."""
    name = type(event).__name__
    at = next(getattr(event, field) for field in event.__slots__ if field.endswith("_at"))
    if name.startswith("Operation"):
        return f"operation-{event.operation_id}", at  # type: ignore[union-attr]
    kind = {"Device": "device", "Schedule": "schedule", "ProductsShown": "shown"}
    category = next((kind[start] for start in kind if name.startswith(start)), "catalogue")
    return f"{category}-{event.device_id}", at  # type: ignore[union-attr]
