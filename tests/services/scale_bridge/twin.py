"""Histories of scales as read models meet them."""

import json
from collections.abc import Sequence
from hashlib import md5
from typing import Any
from uuid import UUID

from contracts.envelope import Envelope
from contracts.scale_bridge import (
    CatalogueConfirmed,
    CatalogueDoubted,
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    DeviceRegistered,
    DeviceRemoved,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.messaging.projection import Projection
from libs.postgres.pool import Pool
from services.scale_bridge.read_models import device, drift, operation, schedule, shown
from tests.services.scale_bridge.heard import NOON, Heard, device_id, minute, operation_id

__all__ = ["NOON", "OWNER", "Told", "device_id", "minute", "operation_id"]

OWNER = UUID(int=99)


def every_projection() -> list[Projection[ScaleBridgeEvent]]:
    """The read models of the twin, and those of scales and operations."""
    return [
        schedule.projection(),
        shown.projection(),
        drift.projection(),
        device.projection(),
        operation.projection(),
    ]


async def project(pool: Pool, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Apply one batch of events to every read model that reads them."""
    for projection in every_projection():
        read = [one for one in events if category(one) in projection.topics]
        async with pool.acquire() as connection, connection.transaction():
            await projection.project(connection, read)


def category(envelope: Envelope[ScaleBridgeEvent]) -> str:
    return f"scale-bridge.{envelope.stream.partition('-')[0]}"


def price_id(number: int) -> UUID:
    return UUID(int=2_000_000 + number)


def catalogue(*products: dict[str, Any]) -> dict[str, Any]:
    return {"products": list(products)}


def product(plu: int, price: float = 100.0, **fields: Any) -> dict[str, Any]:
    known = {"pluNumber": plu, "code": 5000 + plu, "name": f"Товар {plu}", "price": price}
    return {**known, "shelfLife": 5, "shelfLifeInDays": 5, **fields}


async def store_content(pool: Pool, document: dict[str, Any], tenant: str = "demo") -> str:
    """Keep a catalogue as whoever announces it does; its MD5."""
    file = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    name = md5(file, usedforsecurity=False).hexdigest()
    await pool.execute(
        "INSERT INTO content (tenant, md5, file, items) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING",
        tenant,
        name,
        file,
        len(document["products"]),
    )
    return name


class Told(Heard):
    """Also of scales and their catalogues."""

    def registered(self, number: int = 1, name: str = "Сыр") -> None:
        self(
            DeviceRegistered(
                device_id=device_id(number),
                number=number,
                owner=OWNER,
                name=name,
                description="",
                ip="10.0.0.17",
                port=1111,
                protocol="TCP",
                password="sealed",
                bridge=None,
                registered_at=NOON,
            )
        )

    def removed(self, number: int = 1) -> None:
        self(DeviceRemoved(device_id=device_id(number), removed_at=NOON))

    def fetched(self, revision: int, content: str, *, of: int = 1, at: float = 0) -> None:
        self(
            CatalogueFetched(
                device_id=device_id(of),
                revision=revision,
                content=content,
                items=1,
                operation_id=operation_id(1),
                fetched_at=minute(at),
            )
        )

    def reverted(self, revision: int, content: str, *, of: int = 1) -> None:
        self(
            CatalogueReverted(
                device_id=device_id(of),
                revision=revision,
                content=content,
                items=1,
                to_revision=1,
                reverted_by="anna",
                reverted_at=NOON,
            )
        )

    def edited(
        self, revision: int, plu: int, *, of: int = 1, source: str = "person", **after: Any
    ) -> None:
        self(
            ProductEdited(
                device_id=device_id(of),
                revision=revision,
                plu=str(plu),
                before=dict.fromkeys(after),
                after=after,
                source=source,
                edited_by="anna",
                edited_at=NOON,
            )
        )

    def price_taken(
        self,
        revision: int,
        plu: int,
        price: float,
        *,
        of: int = 1,
        number: int = 1,
        at: float = 0,
        changed: bool = True,
    ) -> None:
        self(
            PriceTaken(
                price_id=price_id(number),
                device_id=device_id(of),
                article=5000 + plu,
                plu=str(plu),
                price=price,
                changed=changed,
                revision=revision,
                valid_at=minute(number),
                announced_at=NOON,
                taken_at=minute(at),
            )
        )

    def price_overridden(
        self, revision: int, plu: int, *, of: int = 1, number: int = 1, at: float = 0
    ) -> None:
        self(
            PriceOverridden(
                price_id=price_id(number),
                device_id=device_id(of),
                article=5000 + plu,
                plu=str(plu),
                price=1.0,
                revision=revision,
                overridden_by="anna",
                overridden_at=minute(at),
            )
        )

    def dated(self, revision: int, *plus: int, of: int = 1, day: str = "01-03-26") -> None:
        dates = {str(plu): (day, day) for plu in plus}
        self(
            DatesRefreshed(
                device_id=device_id(of),
                revision=revision,
                dates=dates,
                left_alone=0,
                refreshed_at=NOON,
            )
        )

    def invalidated(self, revision: int, *, of: int = 1, at: float = 0) -> None:
        self(
            CatalogueInvalidated(
                device_id=device_id(of),
                revision=revision,
                reason="address changed",
                invalidated_at=minute(at),
            )
        )

    def confirmed(self, revision: int, *, of: int = 1) -> None:
        self(
            CatalogueConfirmed(
                device_id=device_id(of),
                revision=revision,
                content="?",
                operation_id=operation_id(1),
                confirmed_at=NOON,
            )
        )

    def doubted(self, revision: int, *, by: int = 1, of: int = 1) -> None:
        self(
            CatalogueDoubted(
                device_id=device_id(of),
                revision=revision,
                content=None,
                operation_id=operation_id(by),
                doubted_at=NOON,
            )
        )
