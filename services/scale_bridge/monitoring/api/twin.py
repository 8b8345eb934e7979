"""HTTP of what a scale shows, showed and shall show, as far as it was read (SCL-15, SCL-18)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel

from libs.http import paging
from libs.postgres.pool import tenant_connection
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import ApiContext, Reader, Scales, fresh, own_device
from services.scale_bridge.monitoring.read_models import display_history, drift
from services.scale_bridge.monitoring.read_models.drift import Difference

router = APIRouter(tags=["twin"])

RETAINED_SINCE: Final = "X-Kept-Since"
UNKNOWN: Final = "Неизвестно: до этого момента показания весов не проверялись."

NOT_RETAINED: Final = "Так давно показания не хранятся: этот момент раньше срока хранения."

Plu = Annotated[str, Query(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
Instant = Annotated[str | None, Query(max_length=64)]


class Shown(BaseModel):
    """What was shown at an instant, since when and until when.

    `shown` is null if it was not on the scale. It was read at `verified_at` and next at
    `next_verified_at`; it is not `certain` if something was written and not read back in between.
    """

    known: bool
    plu: str
    at: datetime
    detail: str | None = None
    shown: dict[str, Any] | None = None
    since: datetime | None = None
    until: datetime | None = None
    verified_at: datetime | None = None
    next_verified_at: datetime | None = None
    certain: bool = False


class Interval(BaseModel):
    """What was shown from `since` until just before `until`."""

    shown: dict[str, Any] | None
    since: datetime
    until: datetime | None


class Drifted(BaseModel):
    """A product that is shown otherwise than desired, and in which fields."""

    plu: str
    desired: dict[str, Any] | None
    shown: dict[str, Any] | None
    fields: list[str]
    revision: int | None


class Drift(BaseModel):
    """Everything a scale shows otherwise than desired, as it was verified last."""

    revision: int
    confirmed_revision: int | None
    verified_at: datetime | None
    count: int
    products: list[Drifted]


@router.get("/devices/{device_id}/shown", dependencies=[fresh("shown")])
async def shown_at(
    response: Response,
    scales: Scales,
    caller: Reader,
    device_id: int,
    plu: Plu,
    at: Instant = None,
) -> Shown:
    """What the scale showed of a product at an instant, by default now. 410 if that is long ago."""
    device = await own_device(scales, caller, device_id)
    now = scales.clock()
    instant = min(_instant(at, scales) if at else now, now)
    since = _retained_since(response, scales, now)
    if since is not None and instant < since:
        raise HTTPException(HTTPStatus.GONE, NOT_RETAINED, {RETAINED_SINCE: since.isoformat()})
    async with tenant_connection(scales.reading, caller.tenant) as connection:
        answer = await display_history.at(connection, caller.tenant, device.device_id, plu, instant)
    if answer is None:
        return Shown(known=False, plu=plu, at=instant, detail=UNKNOWN)
    return Shown(
        known=True,
        plu=plu,
        at=instant,
        shown=_plain(answer.product),
        since=answer.since,
        until=answer.until,
        verified_at=answer.verified_at,
        next_verified_at=answer.next_verified_at,
        certain=answer.certain,
    )


@router.get("/devices/{device_id}/shown/history", dependencies=[fresh("shown")])
async def history(
    request: Request,
    response: Response,
    scales: Scales,
    caller: Reader,
    device_id: int,
    plu: Plu,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: paging.Cursor = None,
) -> list[Interval]:
    """What the scale showed of a product, the latest first. `Link` leads to earlier intervals."""
    device = await own_device(scales, caller, device_id)
    position = paging.moment_and_id(cursor)
    async with tenant_connection(scales.reading, caller.tenant) as connection:
        intervals = await display_history.history(
            connection,
            caller.tenant,
            device.device_id,
            plu,
            limit=limit + 1,
            ended_after=_retained_since(response, scales, scales.clock()),
            before=position,
        )
    page = paging.linked(
        request, response, intervals, limit, lambda one: (one.since, one.operation_id)
    )
    return [Interval(shown=_plain(one.product), since=one.since, until=one.until) for one in page]


@router.get("/devices/{device_id}/drift", dependencies=[fresh("drift", "shown")])
async def drifting(
    request: Request,
    response: Response,
    scales: Scales,
    caller: Reader,
    device_id: int,
    limit: Annotated[int, Query(ge=0, le=20_000)] = 1000,
    cursor: paging.Cursor = None,
) -> Drift:
    """The products that the scale shows otherwise than desired, by PLU, as of its last read.

    `Link` leads to more of them; `count` is of all.
    """
    loaded, after = await own_device(scales, caller, device_id), paging.text(cursor)
    tenant, device, now = caller.tenant, loaded.device_id, scales.clock()
    copy = (await catalogue.load(scales, tenant, device)).catalogue
    async with tenant_connection(scales.reading, tenant) as connection:
        differing = await drift.differences(
            connection, tenant, device, limit=limit + 1, after=after
        )
        number = (await drift.counts(connection, tenant, [device])).get(device, 0)
        read = await display_history.at(connection, tenant, device, "", now)
    page = paging.linked(request, response, differing, limit, lambda one: (one.plu,))
    return Drift(
        revision=copy.revision,
        confirmed_revision=copy.confirmed or None,
        verified_at=read.verified_at if read else None,
        count=number,
        products=[_drifted(one) for one in page],
    )


def _drifted(difference: Difference) -> Drifted:
    desired, displayed = difference.desired or {}, difference.displayed or {}
    names = [name for name in {**desired, **displayed} if desired.get(name) != displayed.get(name)]
    return Drifted(
        plu=difference.plu,
        desired=_plain(difference.desired),
        shown=_plain(difference.displayed),
        fields=names,
        revision=difference.revision,
    )


def _instant(text: str, scales: ApiContext) -> datetime:
    """A moment in RFC 3339; a space is read as the plus of its zone, the zone defaults to ours.

    Raises HTTPException.
    """
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
    except ValueError:
        detail = "at must be a moment such as 2026-03-01T14:05:00Z"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=scales.settings.zone)


def _retained_since(response: Response, scales: ApiContext, now: datetime) -> datetime | None:
    """The start of the retention, also as a header of the answer; None without a limit."""
    if not scales.settings.shown_days:
        return None
    since = now - timedelta(days=scales.settings.shown_days)
    response.headers[RETAINED_SINCE] = since.isoformat()
    return since


def _plain(product: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if product is None else dict(product)
