"""Events of scales as read models meet them: in streams, one after the other."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
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


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def device_id(number: int = 1) -> DeviceId:
    return DeviceId(UUID(int=number))


def operation_id(number: int) -> OperationId:
    return OperationId(UUID(int=1_000_000 + number))


class Heard:
    """Tells events of what was done, each in its stream with the next version, as the log would."""

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

    def shown(
        self,
        at: float,
        shown: dict[str, dict[str, Any]],
        *gone: str,
        of: int = 1,
        by: int = 1,
        part: int = 0,
    ) -> None:
        self(
            ProductsShown(
                device_id=device_id(of),
                operation_id=operation_id(by),
                part=part,
                shown=shown,
                gone=gone,
                seen_at=minute(at),
            )
        )

    def queued(
        self, number: int, kind: str = "upload", *, at: float = 0, of: int = 1, by: str = "anna"
    ) -> None:
        self(
            OperationQueued(
                operation_id=operation_id(number),
                device_id=device_id(of),
                kind=kind,
                full=False,
                asked_by=by,
                bridge=None,
                queued_at=minute(at),
                deadline_at=minute(at + 2),
            )
        )

    def sending(self, number: int, *, at: float = 0, of: int = 1, revision: int = 1) -> None:
        self(
            OperationSending(
                operation_id=operation_id(number),
                device_id=device_id(of),
                holder="embedded",
                attempt=1,
                revision=revision,
                began_at=minute(at),
            )
        )

    def applied(self, number: int, *, at: float = 0, of: int = 1, revision: int = 1) -> None:
        self(
            OperationApplied(
                operation_id=operation_id(number),
                device_id=device_id(of),
                revision=revision,
                content="?",
                items=1,
                applied_at=minute(at),
            )
        )

    def ended(
        self,
        number: int,
        kind: str = "upload",
        outcome: str = "verified",
        code: str = "",
        *,
        at: float = 0,
        of: int = 1,
        detail: str = "",
        revision: int = 1,
    ) -> None:
        self(
            OperationEnded(
                operation_id=operation_id(number),
                device_id=device_id(of),
                kind=kind,
                outcome=outcome,
                code=code,
                detail=detail,
                result=None,
                revision=revision,
                content=None,
                items=None,
                attempts=1,
                ended_at=minute(at),
            )
        )

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
        self(
            ScheduleSet(
                device_id=device_id(of),
                enabled=enabled,
                interval_minutes=60,
                next_run_at=minute(due) if enabled else None,
                set_by="anna",
                set_at=NOON,
                calendar=calendar if at else None,
            )
        )

    def schedule_skipped(self, *, of: int = 1, due: float = 60, runs: int = 1) -> None:
        self(
            ScheduleSkipped(
                device_id=device_id(of),
                due_at=minute(due),
                late_seconds=1200.0,
                runs=runs,
                reason="late",
                next_run_at=minute(due + 60),
                skipped_at=minute(due + 20),
            )
        )

    def schedule_claimed(self, number: int, *, of: int = 1, due: float = 120) -> None:
        self(
            ScheduleClaimed(
                device_id=device_id(of),
                operation_id=operation_id(number),
                next_run_at=minute(due),
                claimed_at=minute(60),
                slot=minute(due - 60),
            )
        )

    def schedule_ran(self, number: int, *, of: int = 1, error: str | None = None) -> None:
        self(
            ScheduleRan(
                device_id=device_id(of),
                operation_id=operation_id(number),
                status="OK" if error is None else "ERROR",
                error=error,
                ran_at=minute(61),
            )
        )


def _place(event: ScaleBridgeEvent) -> tuple[str, datetime]:
    """The stream of an event, and when it happened."""
    name = type(event).__name__
    at = next(getattr(event, field) for field in event.__slots__ if field.endswith("_at"))
    if name.startswith("Operation"):
        return f"operation-{event.operation_id}", at  # type: ignore[union-attr]
    kind = {"Device": "device", "Schedule": "schedule", "ProductsShown": "shown"}
    category = next((kind[start] for start in kind if name.startswith(start)), "catalogue")
    return f"{category}-{event.device_id}", at  # type: ignore[union-attr]
