"""The read model `drift`: what each scale shall show, and the products it shows otherwise.

`desired` follows the catalogue and every edit of it. What is shown instead is in the read model
`shown`. Both hold of a product only the displayed fields (see `domain.displayed_fields`).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import Column, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from contracts import scale_bridge
from contracts.envelope import Envelope
from contracts.scale_bridge import (
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    DeviceId,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.upsert import insert_missing
from libs.projections.projection import Connection, Projection, by_stream
from services.scale_bridge.catalogue.domain.displayed_fields import (
    DISPLAYED_FIELDS,
    DisplayedFields,
    displayed_fields,
)
from services.scale_bridge.driver.domain.document import key_of, products, text_of

DESIRED: Final = Table(
    "desired",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("plu", Text, primary_key=True),
    Column("code", Text),
    Column("fields", JSONB, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("source", Text, nullable=False),
)
"""`revision` changed the product last, and `source` is what it came from: `scale`, `person`,
`price`, `dates` or `revert`."""

DELETE: Final = "DELETE FROM desired WHERE tenant = $1 AND device_id = $2"
CONTENT: Final = "SELECT file FROM content WHERE tenant = $1 AND md5 = $2"
SAVE: Final = insert_missing(DESIRED)
EDIT: Final = """
UPDATE desired SET plu = $4, fields = (fields || $5::jsonb) - $6::text[], revision = $7,
    source = $8
WHERE tenant = $1 AND device_id = $2 AND plu = $3
"""
DATE: Final = """
UPDATE desired SET fields = desired.fields || given.fields::jsonb, revision = $3,
    source = 'dates'
FROM unnest($4::text[], $5::text[]) AS given (plu, fields)
WHERE desired.tenant = $1 AND desired.device_id = $2 AND desired.plu = given.plu
"""

# What was shown at an earlier address does not count.
_DISPLAYED: Final = """
SELECT tenant, device_id, plu, product FROM showing
LEFT JOIN (
    SELECT device_id, max(at) AS lost_at FROM reading
    WHERE tenant = $1 AND device_id = ANY($2::uuid[]) AND kind = 'lost' GROUP BY device_id
) AS lost USING (device_id)
WHERE tenant = $1 AND device_id = ANY($2::uuid[]) AND product IS NOT NULL
    AND seen_at > coalesce(lost_at, '-infinity')
"""
_DRIFT: Final = f"""
SELECT device_id, plu, desired.fields::text AS desired, seen.product::text AS displayed,
    desired.revision
FROM (
    SELECT * FROM desired WHERE tenant = $1 AND device_id = ANY($2::uuid[])
) AS desired
FULL JOIN ({_DISPLAYED}) AS seen USING (tenant, device_id, plu)
WHERE desired.fields IS DISTINCT FROM seen.product
"""  # noqa: S608 -- no value is put in
LIST: Final = f"""{_DRIFT}
    AND ($4::text IS NULL OR (length(plu), plu) > (length($4), $4))
ORDER BY length(plu), plu LIMIT $3
"""
COUNT: Final = f"SELECT device_id, count(*) AS number FROM ({_DRIFT}) AS d GROUP BY 1"  # noqa: S608
LOCATIONS: Final = """
SELECT device_id, plu FROM desired WHERE tenant = $1 AND code = $2 ORDER BY device_id, plu
"""

Project: TypeAlias = Callable[[Connection, Sequence[Envelope[ScaleBridgeEvent]]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A product that is displayed otherwise than desired; None where it is absent.

    `revision` is the last one that changed the desired product.
    """

    plu: str
    desired: DisplayedFields | None
    displayed: DisplayedFields | None
    revision: int | None


@dataclass(frozen=True, slots=True)
class ArticleLocation:
    """A device that sells an article, and the PLU it has there."""

    device_id: DeviceId
    plu: str


def projection(second: Project, tables: Sequence[str]) -> Projection[ScaleBridgeEvent]:
    """The projection `drift`. It reads the catalogues that events name by their MD5.

    The `second` read model, with its `tables`, projects the same events under the same checkpoint.
    """

    async def project_both(
        connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]
    ) -> None:
        await project(connection, events)
        await second(connection, events)

    return Projection(
        name="drift",
        tables=("desired", *tables),
        topics=(scale_bridge.CATALOGUES,),
        codec=codec_of(scale_bridge.EVENTS),
        project=project_both,
        shard_key=by_stream,
    )


async def project(connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Apply the events to `desired`, in the order of each scale's stream."""
    for envelope in sorted(events, key=lambda envelope: (envelope.tenant, envelope.stream)):
        tenant = envelope.tenant
        match envelope.event:
            case CatalogueFetched(device_id=device) | CatalogueReverted(device_id=device) as event:
                await connection.execute(DELETE, tenant, device)
                await _save(connection, tenant, event)
            case CatalogueInvalidated(device_id=device):
                await connection.execute(DELETE, tenant, device)
            case ProductEdited() as edited:
                await _edit(connection, tenant, edited)
            case DatesRefreshed(device_id=device, revision=revision, dates=dates):
                fields = [_json(_dates(two)) for two in dates.values()]
                await connection.execute(DATE, tenant, device, revision, list(dates), fields)
            case _:
                pass


async def differences(
    connection: Any, tenant: str, device_id: UUID, *, limit: int, after: str | None = None
) -> Sequence[Difference]:
    """The products displayed otherwise than desired, by PLU, after the PLU `after`.

    If the scale was never read, these are all products.
    """
    rows = await connection.fetch(LIST, tenant, [device_id], limit, after)
    return [
        query.row_as(
            Difference,
            row,
            desired=_decoded(row["desired"]),
            displayed=_decoded(row["displayed"]),
        )
        for row in rows
    ]


async def counts(connection: Any, tenant: str, devices: Iterable[UUID]) -> Mapping[UUID, int]:
    """How many products of each scale are displayed otherwise than desired; scales with none are
    absent.
    """
    rows = await connection.fetch(COUNT, tenant, list(devices))
    return {row["device_id"]: row["number"] for row in rows}


async def locations_of(connection: Any, tenant: str, article: int) -> Sequence[ArticleLocation]:
    """Every scale of the tenant whose catalogue has an article, and the PLU it has there."""
    rows = await connection.fetch(LOCATIONS, tenant, str(article))
    return [ArticleLocation(DeviceId(row["device_id"]), row["plu"]) for row in rows]


async def _save(
    connection: Connection, tenant: str, event: CatalogueFetched | CatalogueReverted
) -> None:
    file = await connection.fetchval(CONTENT, tenant, event.content)
    if file is None:
        # Deleted, since later catalogues replaced it: their events follow.
        return
    items = {
        key_of(item): item
        for item in reversed(products(msgspec.json.decode(file)))
        if item.get("deleted") is not True
    }
    source = "scale" if isinstance(event, CatalogueFetched) else "revert"
    common = {"tenant": tenant, "device_id": event.device_id, "revision": event.revision}
    rows = (
        {"plu": plu, "code": text_of(item.get("code")), "fields": _json(displayed_fields(item))}
        for plu, item in items.items()
    )
    await SAVE.put(connection, ({**common, **row, "source": source} for row in rows))


async def _edit(connection: Connection, tenant: str, edited: ProductEdited) -> None:
    counted = {name: value for name, value in edited.after.items() if name in DISPLAYED_FIELDS}
    present = displayed_fields(counted)
    await connection.execute(
        EDIT,
        tenant,
        edited.device_id,
        edited.plu,
        text_of(edited.after.get("pluNumber", edited.plu)),
        _json(present),
        [name for name in counted if name not in present],
        edited.revision,
        edited.source,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _dates(two: Sequence[str]) -> Mapping[str, str]:
    return dict(zip(("manufactureDate", "sellByDate"), two, strict=True))


def _decoded(text: str | None) -> DisplayedFields | None:
    return None if text is None else msgspec.json.decode(text)
