"""Which devices does an owner have, at which address, and is the stored catalogue confirmed?

Of catalogues, only the revision numbers are projected (R19).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, TypeAlias
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
    bindparam,
    select,
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
    DeviceRegistered,
    DeviceRemoved,
    MessageEdited,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.projections.projection import Connection, Projection
from services.scale_bridge.devices.read_models import profile

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
from the catalogue's stream. `profile` writes the columns from `profile_version` on."""

UPSERT: Final = """
INSERT INTO device AS known (tenant, device_id, version, number, owner, name, description, ip, port,
    protocol, bridge, removed)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[], $6::text[],
    $7::text[], $8::text[], $9::int[], $10::text[], $11::uuid[], $12::boolean[]) ORDER BY 1, 2
ON CONFLICT (tenant, device_id) DO UPDATE SET
    version = excluded.version,
    number = coalesce(excluded.number, known.number),
    owner = coalesce(excluded.owner, known.owner),
    name = coalesce(excluded.name, known.name),
    description = coalesce(excluded.description, known.description),
    ip = coalesce(excluded.ip, known.ip),
    port = coalesce(excluded.port, known.port),
    protocol = coalesce(excluded.protocol, known.protocol),
    bridge = excluded.bridge,
    removed = excluded.removed
WHERE excluded.version > known.version
"""

CATALOGUE_STATE: Final = """
INSERT INTO device AS known (tenant, device_id, catalogue_version, revision, confirmed)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[]) ORDER BY 1, 2
ON CONFLICT (tenant, device_id) DO UPDATE SET
    catalogue_version = excluded.catalogue_version,
    revision = greatest(excluded.revision, known.revision),
    confirmed = coalesce(nullif(excluded.confirmed, -1), known.confirmed)
WHERE excluded.catalogue_version > known.catalogue_version
"""
"""A `confirmed` of -1 leaves the column unchanged."""

UNCHANGED: Final = -1

_Key: TypeAlias = tuple[str, UUID]
_Row: TypeAlias = dict[str, Any]
_DETAILS: Final = ("number", "owner", "name", "description", "ip", "port", "protocol", "bridge")


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
    await profile.project(connection, events)
    devices: dict[_Key, _Row] = {}
    catalogues: dict[_Key, _Row] = {}
    for envelope in events:
        _collect(devices, catalogues, envelope)
    if devices:
        rows = devices.values()
        columns = [[row.get(name) for row in rows] for name in ("version", *_DETAILS, "removed")]
        await connection.execute(UPSERT, *zip(*devices, strict=True), *columns)
    if catalogues:
        columns = [[row[n] for row in catalogues.values()] for n in ("version", *_REVISIONS)]
        await connection.execute(CATALOGUE_STATE, *zip(*catalogues, strict=True), *columns)


_REVISIONS: Final = ("revision", "confirmed")


def _collect(
    devices: dict[_Key, _Row], catalogues: dict[_Key, _Row], envelope: Envelope[ScaleBridgeEvent]
) -> None:
    match envelope.event:
        case DeviceRegistered() | DeviceChanged() as event:
            row = devices.setdefault((envelope.tenant, event.device_id), {})
            row.update(asdict(event.details), version=envelope.version, removed=False)
            if isinstance(event, DeviceRegistered):
                row.update(number=event.number, owner=event.owner)
        case DeviceRemoved(device_id=device_id):
            row = devices.setdefault((envelope.tenant, device_id), {})
            row.update(version=envelope.version, removed=True, bridge=None)
        case _:
            change = _revisions(envelope.event)
            if change is not None:
                key, revisions = (envelope.tenant, change[0]), change[1]
                row = catalogues.setdefault(key, {"revision": 0, "confirmed": UNCHANGED})
                row["version"] = envelope.version
                row.update(revisions)


def _revisions(event: ScaleBridgeEvent) -> tuple[UUID, Mapping[str, int]] | None:
    match event:
        case CatalogueFetched():
            return event.device_id, {"revision": event.revision, "confirmed": event.revision}
        case (
            ProductEdited()
            | MessageEdited()
            | DatesRefreshed()
            | CatalogueReverted()
            | CatalogueInvalidated()
        ) as changed:
            return changed.device_id, {"revision": changed.revision}
        case CatalogueConfirmed():
            return event.device_id, {"confirmed": event.revision}
        case CatalogueDoubted():
            return event.device_id, {"confirmed": 0}
        case _:
            return None


_OWN: Final = (
    select(DEVICE)
    .where(
        DEVICE.c.tenant == bindparam("tenant"),
        DEVICE.c.owner == bindparam("owner"),
        DEVICE.c.number.is_not(None),
        DEVICE.c.removed.is_(False),
    )
    .order_by(DEVICE.c.number)
)
_EVERY: Final = (
    select(DEVICE.c.tenant, DEVICE.c.device_id)
    .where(DEVICE.c.number.is_not(None), DEVICE.c.removed.is_(False))
    .order_by(DEVICE.c.tenant, DEVICE.c.number)
)


async def owned(connection: Any, tenant: str, owner: UUID) -> Sequence[query.Row]:
    """The columns of `DEVICE` of all devices of an owner, by number."""
    return await query.fetch(connection, _OWN, tenant=tenant, owner=owner)


async def every(connection: Any) -> Sequence[tuple[str, UUID]]:
    """Tenant and id of every device the connection may see."""
    rows = await query.fetch(connection, _EVERY)
    return [(row["tenant"], UUID(str(row["device_id"]))) for row in rows]
