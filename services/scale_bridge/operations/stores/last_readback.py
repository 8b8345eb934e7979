"""The products of each scale at its last read-back: only differences from it become facts."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts.scale_bridge import DeviceId, OperationId
from libs.postgres import query
from libs.postgres.pool import Pool

GET: Final = "SELECT shown FROM last_shown WHERE tenant = $1 AND device_id = $2"
SAVE: Final = """
INSERT INTO last_shown (tenant, device_id, operation_id, shown) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, device_id) DO UPDATE
SET operation_id = excluded.operation_id, shown = excluded.shown
"""


class _Readback(msgspec.Struct):
    """The stored form; the names of its keys are older than those of its fields."""

    address: str = msgspec.field(name="place")
    products: Mapping[str, Mapping[str, Any]] = msgspec.field(name="shown")


async def get(
    pool: Pool, tenant: str, device_id: DeviceId, address: str
) -> Mapping[str, Mapping[str, Any]]:
    """The displayed fields of every product, by its key; empty if nothing was read at `address`."""
    stored = await query.fetchval(pool, GET, tenant, device_id)
    if stored is None:
        return {}
    readback = msgspec.json.decode(stored, type=_Readback)
    return readback.products if readback.address == address else {}


async def save(
    pool: Pool,
    tenant: str,
    device_id: DeviceId,
    operation_id: OperationId,
    address: str,
    products: Mapping[str, Mapping[str, Any]],
) -> None:
    """Store what an operation read at an address, `ip:port`. Safe to repeat."""
    stored = msgspec.json.encode(_Readback(address=address, products=products))
    await query.execute(pool, SAVE, tenant, device_id, operation_id, stored)
