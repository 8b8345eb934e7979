"""Histories of scales as read models receive them: events in the order of their streams."""

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import count
from typing import Any
from uuid import UUID, uuid5

from contracts.envelope import Envelope
from contracts.scale_bridge import (
    CatalogueConfirmed,
    CatalogueDoubted,
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    DeviceChanged,
    DeviceDetails,
    DeviceId,
    DeviceProfile,
    DeviceProfiled,
    DeviceRegistered,
    DeviceRemoved,
    OperationApplied,
    OperationEnded,
    OperationId,
    OperationQueued,
    OperationSending,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
    ProductsShown,
    ScaleBridgeEvent,
    ScheduleCalendar,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
    ScheduleSkipped,
)
from libs.postgres.pool import Pool
from libs.projections.projection import Projection
from libs.testing.read_models import apply
from services.scale_bridge.catalogue.domain.displayed_fields import displayed_by_plu
from services.scale_bridge.devices.read_models import device
from services.scale_bridge.monitoring.read_models import display_history
from services.scale_bridge.operations import read_models as operation
from services.scale_bridge.prices.read_models import price_delivery
from services.scale_bridge.schedules.read_models import schedule
from tests.services.scale_bridge.usual import Usual

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWNER = UUID(int=99)
STREAMS = {"Operation": "operation", "Schedule": "schedule", "ProductsShown": "shown"}
STREAMS |= {"Device": "device", "Verification": "device", "Strictness": "device"}

NESTED: dict[type[Any], tuple[str, type[Any]]] = {
    DeviceRegistered: ("details", DeviceDetails),
    DeviceChanged: ("details", DeviceDetails),
    DeviceProfiled: ("profile", DeviceProfile),
}
"""Events with a nested value: its field and its class."""


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def device_id(number: int = 1) -> DeviceId:
    return DeviceId(UUID(int=number))


def operation_id(number: int) -> OperationId:
    return OperationId(UUID(int=1_000_000 + number))


def price_id(number: int) -> UUID:
    return UUID(int=2_000_000 + number)


def catalogue(*products: dict[str, Any]) -> dict[str, Any]:
    return {"products": list(products)}


def product(plu: int, price: float = 100.0, **fields: Any) -> dict[str, Any]:
    known = {"pluNumber": plu, "code": 5000 + plu, "name": f"Товар {plu}", "price": price}
    return {**known, "shelfLife": 5, "shelfLifeInDays": 5, **fields}


def every_projection() -> list[Projection[ScaleBridgeEvent]]:
    """The projections of all read models."""
    models = (schedule, display_history, price_delivery, device, operation)
    return [model.projection() for model in models]


async def project(pool: Pool, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Apply one batch of events to every read model of their streams."""
    await apply(pool, "scale_bridge", every_projection(), events)


async def store_content(pool: Pool, document: dict[str, Any], tenant: str = "demo") -> str:
    """Store a catalogue as the service does before the event; its MD5."""
    file = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    name = md5(file, usedforsecurity=False).hexdigest()
    await pool.execute(
        "INSERT INTO content (tenant, md5, file, items) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING",
        *(tenant, name, file, len(document["products"])),
    )
    return name


class History:
    """Events of scales, each with the next version of its stream.

    In all methods `of` is the scale's number, and `at` the minute after noon.
    """

    def __init__(self, tenant: str = "demo") -> None:
        self.tenant = tenant
        self.events: list[Envelope[ScaleBridgeEvent]] = []
        self._versions: dict[str, int] = {}
        self._ids = count(1)
        self._projected = 0

    def happened(self, *steps: Callable[["History"], None]) -> "History":
        """Apply calls of its methods, made by `operator.methodcaller`; the history."""
        for step in steps:
            step(self)
        return self

    async def project(self, pool: Pool) -> None:
        await project(pool, self.events[self._projected :])
        self._projected = len(self.events)

    def add(self, kind: type[Any], /, *, of: int = 1, at: float = 0, **given: Any) -> None:
        """Another event of a scale. Fields of a nested value are given like those of the event."""
        usual = Usual(
            minute(at),
            device_id=device_id(of),
            operation_id=operation_id(1),
            owner=OWNER,
            items=1,
            article=0,
            price=1.0,
        )
        if kind in NESTED:
            name, value = NESTED[kind]
            inner = {one: given.pop(one) for one in given.keys() - {f.name for f in fields(kind)}}
            given[name] = usual(value, **inner)
        event = usual(kind, **given)
        categories = (STREAMS[start] for start in STREAMS if kind.__name__.startswith(start))
        category = next(categories, "catalogue")
        subject = event.operation_id if category == "operation" else event.device_id
        stream, version = f"{category}-{subject}", None
        if kind is not ProductsShown:
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
        nothing = dict.fromkeys(("correlation_id", "causation_id", "actor", "traceparent"))
        event_id = uuid5(UUID(int=0), f"{self.tenant} {next(self._ids)}")
        where = {"tenant": self.tenant, "stream": stream, "version": version}
        self.events.append(usual(Envelope, event_id=event_id, event=event, **where, **nothing))

    def registered(self, number: int = 1, name: str = "Сыр") -> None:
        address: dict[str, Any] = {"ip": "10.0.0.17", "port": 1111, "protocol": "TCP"}
        self.add(DeviceRegistered, of=number, number=number, name=name, **address)

    def removed(self, number: int = 1) -> None:
        self.add(DeviceRemoved, of=number)

    async def synced(
        self, pool: Pool, document: dict[str, Any], *, of: int = 1, name: str = "Сыр"
    ) -> None:
        """A scale that was fetched and shows its catalogue."""
        self.registered(of, name)
        self.fetched(1, await store_content(pool, document), of=of)
        self.done(100 + of, "fetch", "done", of=of)
        products = {plu: dict(fields) for plu, fields in displayed_by_plu(document).items()}
        self.read(0, products, of=of, by=100 + of)

    def read(
        self, at: float, products: dict[str, Any], *gone: str, of: int = 1, by: int = 1
    ) -> None:
        """An operation read the scale: products by PLU, and PLUs that are gone."""
        given: dict[str, Any] = {"part": 0, "shown": products, "gone": gone}
        self.add(ProductsShown, of=of, at=at, operation_id=operation_id(by), **given)

    def queued(
        self, number: int, kind: str = "upload", *, at: float = 0, of: int = 1, by: str = "anna"
    ) -> None:
        given: dict[str, Any] = {"kind": kind, "asked_by": by, "deadline_at": minute(at + 2)}
        self.add(OperationQueued, of=of, at=at, operation_id=operation_id(number), **given)

    def begun(self, number: int, **given: Any) -> None:
        given = {"revision": 1, "operation_id": operation_id(number), **given}
        self.add(OperationSending, **given)

    def applied(self, number: int, **given: Any) -> None:
        given = {"revision": 1, "operation_id": operation_id(number), **given}
        self.add(OperationApplied, **given)

    def ended(
        self,
        number: int,
        kind: str = "upload",
        outcome: str = "verified",
        code: str = "",
        **given: Any,
    ) -> None:
        given = {"revision": 1, "content": None, "items": None, "code": code, **given}
        ended: dict[str, Any] = {"kind": kind, "outcome": outcome, **given}
        self.add(OperationEnded, operation_id=operation_id(number), **ended)

    def done(
        self, number: int, *how: str, at: float = 0, of: int = 1, detail: str = "", by: str = "anna"
    ) -> None:
        """An operation from its beginning to its end: kind, outcome, code."""
        self.queued(number, *how[:1], at=at, of=of, by=by)
        self.begun(number, at=at, of=of)
        self.ended(number, *how, at=at, of=of, detail=detail)

    def schedule_set(
        self, *, of: int = 1, enabled: bool = True, due: float = 60, times: tuple[str, ...] = ()
    ) -> None:
        calendar = ScheduleCalendar(
            at=times,
            weekdays=("mon", "sat"),
            zone="Europe/Berlin",
            jitter_minutes=10,
            missed="skip",
            grace_minutes=15,
        )
        self.add(
            ScheduleSet,
            of=of,
            enabled=enabled,
            interval_minutes=60,
            next_run_at=minute(due) if enabled else None,
            calendar=calendar if times else None,
        )

    def schedule_skipped(self, *, of: int = 1, due: float = 60, runs: int = 1) -> None:
        given: dict[str, Any] = {"due_at": minute(due), "next_run_at": minute(due + 60)}
        self.add(ScheduleSkipped, of=of, at=due + 20, late_seconds=1200.0, runs=runs, **given)

    def schedule_claimed(self, number: int, *, of: int = 1, due: float = 120) -> None:
        given: dict[str, Any] = {"next_run_at": minute(due), "slot": minute(due - 60)}
        self.add(ScheduleClaimed, of=of, at=60, operation_id=operation_id(number), **given)

    def schedule_ran(self, number: int, *, of: int = 1, error: str | None = None) -> None:
        status = "OK" if error is None else "ERROR"
        given: dict[str, Any] = {"status": status, "error": error}
        self.add(ScheduleRan, of=of, at=61, operation_id=operation_id(number), **given)

    def fetched(self, revision: int, content: str, **given: Any) -> None:
        self.add(CatalogueFetched, revision=revision, content=content, **given)

    def reverted(self, revision: int, content: str) -> None:
        self.add(CatalogueReverted, revision=revision, content=content, to_revision=1)

    def edited(
        self, revision: int, plu: int, *, of: int = 1, source: str = "person", **after: Any
    ) -> None:
        given: dict[str, Any] = {"before": dict.fromkeys(after), "after": after, "source": source}
        self.add(ProductEdited, of=of, revision=revision, plu=str(plu), **given)

    def price_taken(
        self,
        revision: int,
        plu: int,
        price: float,
        *,
        number: int = 1,
        changed: bool = True,
        **given: Any,
    ) -> None:
        self.add(
            PriceTaken,
            revision=revision,
            plu=str(plu),
            article=5000 + plu,
            price=price,
            price_id=price_id(number),
            changed=changed,
            valid_at=minute(number),
            announced_at=NOON,
            **given,
        )

    def price_overridden(self, revision: int, plu: int, *, number: int = 1, **given: Any) -> None:
        priced: dict[str, Any] = {"price_id": price_id(number), "article": 5000 + plu, **given}
        self.add(PriceOverridden, revision=revision, plu=str(plu), **priced)

    def dated(self, revision: int, *plus: int, of: int = 1, day: str = "01-03-26") -> None:
        dates = {str(plu): (day, day) for plu in plus}
        self.add(DatesRefreshed, of=of, revision=revision, dates=dates, left_alone=0)

    def invalidated(self, revision: int, **given: Any) -> None:
        self.add(CatalogueInvalidated, revision=revision, **given)

    def confirmed(self, revision: int, **given: Any) -> None:
        self.add(CatalogueConfirmed, revision=revision, **given)

    def doubted(self, revision: int, *, by: int = 1, **given: Any) -> None:
        given = {"content": None, "operation_id": operation_id(by), **given}
        self.add(CatalogueDoubted, revision=revision, **given)
