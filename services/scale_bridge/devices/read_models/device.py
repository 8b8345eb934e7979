"""Which devices are there, is the stored catalogue of each confirmed, and its verification due?

Of catalogues, only the revision numbers are projected (R19).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
)

from contracts import scale_bridge
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
    MessageEdited,
    ProductEdited,
    ScaleBridgeEvent,
    VerificationDue,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.upsert import Upsert, put_all, upsert
from libs.projections.projection import Connection, Projection
from services.scale_bridge.devices.domain.verification import DAYS, EARLIEST

DEVICE: Final = Table(
    "device",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("number", BigInteger),
    Column("owner", Uuid),
    Column("name", Text),
    Column("description", Text),
    Column("ip", Text),
    Column("port", Integer),
    Column("protocol", Text),
    Column("bridge", Uuid),
    Column("removed", Boolean, nullable=False),
    Column("catalogue_version", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("confirmed", BigInteger, nullable=False),
    Column("profile_version", BigInteger, nullable=False),
    Column("shop", Text, nullable=False),
    Column("shop_group", Text, nullable=False),
    Column("price_list", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("serial_number", Text, nullable=False),
    Column("next_verification", Date),
    Column("reminded_version", BigInteger, nullable=False),
    Column("reminded_of", Date),
    Column("reminded_days", Integer),
)
"""`version` is that of the device's stream. `catalogue_version` and the two columns after it come
from the catalogue's stream, the columns from `profile_version` on from the last events of these
kinds: other events on the device's stream do not change them."""


def _columns_of(value: type[DeviceDetails | DeviceProfile]) -> list[str]:
    """The columns that have the name of a field of a nested value."""
    return [field.name for field in fields(value) if field.name in DEVICE.c]


UNCHANGED: Final = -1
"""A `confirmed` that leaves the column unchanged."""

_DETAILS: Final = ("number", "owner", *_columns_of(DeviceDetails))
SAVE: Final = upsert(
    DEVICE,
    *("version", *_DETAILS, "removed"),
    newer="version",
    coalesce=[name for name in _DETAILS if name != "bridge"],
)
SAVE_CATALOGUE: Final = upsert(
    DEVICE,
    *("catalogue_version", "revision", "confirmed"),
    newer="catalogue_version",
    greatest="revision",
    coalesce="confirmed",
    absent={"confirmed": UNCHANGED},
)
SAVE_PROFILE: Final = upsert(
    DEVICE,
    *("profile_version", "shop_group", *_columns_of(DeviceProfile)),
    newer="profile_version",
)
SAVE_REMINDER: Final = upsert(
    DEVICE, "reminded_version", "reminded_of", "reminded_days", newer="reminded_version"
)


def projection() -> Projection[ScaleBridgeEvent]:
    """The projection."""
    return Projection(
        name="device",
        tables=("device",),
        topics=(scale_bridge.DEVICES, scale_bridge.CATALOGUES),
        codec=codec_of(scale_bridge.EVENTS),
        project=project,
    )


async def project(connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Project one row per device: details, profile, and revisions of the catalogue."""
    await put_all(connection, (change for one in events if (change := _change(one))))


def _change(envelope: Envelope[ScaleBridgeEvent]) -> tuple[Upsert, dict[str, Any]] | None:
    event: Any = envelope.event
    match event:
        case DeviceRegistered(details=details) | DeviceChanged(details=details):
            row = {name: getattr(event, name, None) for name in ("number", "owner")}
            statement, version, row = SAVE, "version", {**row, **asdict(details), "removed": False}
        case DeviceRemoved():
            statement, version, row = SAVE, "version", {"removed": True}
        case DeviceProfiled():
            row = {**asdict(event.profile), "shop_group": event.profile.group}
            statement, version = SAVE_PROFILE, "profile_version"
        case VerificationDue():
            statement, version = SAVE_REMINDER, "reminded_version"
            row = {"reminded_of": event.due_on, "reminded_days": event.days}
        case _ if revisions := _revisions(event):
            statement, version, row = SAVE_CATALOGUE, "catalogue_version", revisions
        case _:
            return None
    key = {"tenant": envelope.tenant, "device_id": event.device_id}
    return statement, {**key, version: envelope.version, **row}


def _revisions(event: ScaleBridgeEvent) -> dict[str, Any]:
    """The columns `revision` and `confirmed`; empty for events that change neither."""
    match event:
        case CatalogueFetched(revision=revision):
            return {"revision": revision, "confirmed": revision}
        case (
            ProductEdited(revision=revision)
            | MessageEdited(revision=revision)
            | DatesRefreshed(revision=revision)
            | CatalogueReverted(revision=revision)
            | CatalogueInvalidated(revision=revision)
        ):
            return {"revision": revision, "confirmed": UNCHANGED}
        case CatalogueConfirmed(revision=revision):
            return {"revision": 0, "confirmed": revision}
        case CatalogueDoubted():
            return {"revision": 0, "confirmed": 0}
        case _:
            return {}


OWNED: Final = """
SELECT * FROM device WHERE tenant = $1 AND owner = $2 AND number IS NOT NULL AND NOT removed
ORDER BY number
"""
EVERY: Final = """
SELECT tenant, device_id FROM device WHERE number IS NOT NULL AND NOT removed
ORDER BY tenant, number
"""

HAS_ANY: Final = "SELECT EXISTS (SELECT FROM device WHERE tenant = $1 AND NOT removed)"


async def owned(connection: Any, tenant: str, owner: UUID) -> Sequence[query.Row]:
    """The columns of `DEVICE` of all devices of an owner, by number."""
    return await query.fetch(connection, OWNED, tenant, owner)


async def has_any(connection: Any, tenant: str) -> bool:
    """Whether a tenant has a device."""
    return bool(await query.fetchval(connection, HAS_ANY, tenant))


async def every(connection: Any) -> Sequence[tuple[str, UUID]]:
    """Tenant and id of every device the connection may see."""
    rows = await query.fetch(connection, EVERY)
    return [(row["tenant"], UUID(str(row["device_id"]))) for row in rows]


DUE: Final = """
SELECT tenant, device_id, next_verification AS due_on FROM device
WHERE next_verification <= $1 AND NOT removed AND number IS NOT NULL
    AND (reminded_of IS DISTINCT FROM next_verification
        OR reminded_days > (SELECT min(days) FROM unnest($2::int[]) AS each (days)
            WHERE days >= next_verification - $3::date))
ORDER BY next_verification, device_id LIMIT $4
"""
"""A device is due if the nearest reminder of its verification was not announced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A device whose verification is due on a day."""

    tenant: str
    device_id: DeviceId
    due_on: date


async def due(connection: Any, today: date, *, limit: int) -> Sequence[Due]:
    """The devices with a due reminder, of all tenants that the connection can read."""
    until = today + timedelta(days=EARLIEST)
    rows = await connection.fetch(DUE, until, list(DAYS), today, limit)
    return [query.row_as(Due, row) for row in rows]
