"""The prices of the shop, also future ones; of an article the last valid price counts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.scale_bridge.catalogue.domain.shop_price import ShopPrice

_COLUMNS: Final = "price_id, article, price, valid_at, announced_by, announced_at, trace"

SAVE: Final = f"""
INSERT INTO price (tenant, {_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
"""  # noqa: S608 -- names of columns
TIDY: Final = """
DELETE FROM price AS old WHERE tenant = $1 AND article = $2 AND EXISTS (
    SELECT FROM price AS later WHERE later.tenant = $1 AND later.article = $2
        AND (later.valid_at, later.announced_at, later.price_id)
            > (old.valid_at, old.announced_at, old.price_id)
        AND later.valid_at < now() - interval '120 days')
"""
"""Prices that were replaced before the retention of topics and inboxes began."""
CURRENT: Final = f"""
SELECT DISTINCT ON (article) {_COLUMNS} FROM price
WHERE tenant = $1 AND article = ANY($2::bigint[]) AND valid_at <= $3
ORDER BY article, valid_at DESC, announced_at DESC, price_id DESC
"""  # noqa: S608 -- names of columns
COMING: Final = f"""
SELECT {_COLUMNS} FROM price WHERE tenant = $1 AND article = $2 AND valid_at > $3
ORDER BY valid_at, announced_at, price_id LIMIT 100
"""  # noqa: S608 -- names of columns
ONE: Final = f"SELECT {_COLUMNS} FROM price WHERE tenant = $1 AND price_id = $2"  # noqa: S608


async def save(connection: Any, tenant: str, price: ShopPrice) -> None:
    """Store a price. Safe to repeat."""
    values = [getattr(price, name.strip()) for name in _COLUMNS.split(",")]
    await connection.execute(SAVE, tenant, *values)
    await connection.execute(TIDY, tenant, price.article)


async def current(
    connection: Any, tenant: str, articles: Collection[int], now: datetime
) -> Mapping[int, ShopPrice]:
    """The valid prices by article; articles without one are absent."""
    rows = await connection.fetch(CURRENT, tenant, list(articles), now)
    return {row["article"]: _shop_price(row) for row in rows}


async def coming(connection: Any, tenant: str, article: int, now: datetime) -> Sequence[ShopPrice]:
    """Prices of an article that are not valid yet, the next first."""
    return [_shop_price(row) for row in await connection.fetch(COMING, tenant, article, now)]


async def one(connection: Any, tenant: str, price_id: UUID) -> ShopPrice | None:
    """A price by its id; None if it is not stored any more."""
    row = await connection.fetchrow(ONE, tenant, price_id)
    return None if row is None else _shop_price(row)


def _shop_price(row: Mapping[str, Any]) -> ShopPrice:
    return ShopPrice(**{name.strip(): row[name.strip()] for name in _COLUMNS.split(",")})
