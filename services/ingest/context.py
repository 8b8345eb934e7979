"""What the service holds while it runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from fastapi import Depends

from contracts.ingest import IngestEvent, ScanId
from libs.http.shapes import DETAIL, ErrorRow
from libs.postgres.idempotency import KeyReused
from libs.process.context import ApiContext, running
from libs.process.weighted_semaphore import WeightedSemaphore
from services.ingest.settings import Settings

if TYPE_CHECKING:
    from services.ingest.dashboard.stores import PastCache

LARGE_BODIES_BYTES: Final = 10 * 1024 * 1024
"""The large bodies that are read at the same time: one of the largest allowed size."""


SHAPE: Final = DETAIL.with_rows({KeyReused: ErrorRow(422, text=str(KeyReused()))})
"""The shape of refusals."""

ItemsInBox: TypeAlias = Callable[[str, str, str], AsyncIterator[Sequence[ScanId]]]
"""Pages of the items in the log of a tenant, box and code: see `logged_items.of_box`."""


@dataclass(frozen=True, kw_only=True)
class Deps(ApiContext[Settings, IngestEvent]):
    """What the routes of ingest receive.

    `export_slots` limits parallel exports, `as_of_slots` queries of the past, `large_bodies` the
    bytes of large requests. `past_cache` caches states of the past. `count_quarantine` counts the
    open quarantined events of all tenants by code.
    """

    count_quarantine: Callable[[], Awaitable[Mapping[str, int]]]
    export_slots: asyncio.Semaphore
    as_of_slots: asyncio.Semaphore
    past_cache: "PastCache"
    items_in_box: ItemsInBox
    large_bodies: WeightedSemaphore = field(
        default_factory=lambda: WeightedSemaphore(LARGE_BODIES_BYTES)
    )


Ingest = Annotated[Deps, Depends(running)]
