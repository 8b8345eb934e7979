"""A thousand scales are listed without looking at what they hold, and old catalogues go (R19)."""

from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.postgres.pool import acquired
from libs.postgres.rls import application_role
from services.scale_bridge.adapters import contents
from services.scale_bridge.bootstrap import SERVICE
from tests.services.scale_bridge.at_hand import a_scale, priced
from tests.services.scale_bridge.inside import ANNA, fetched, inside, registered, working

MANY = 1000
ROW = """
INSERT INTO scale_bridge.device (tenant, device_id, version, number, owner, name, description, ip,
    port, protocol, removed, revision, confirmed)
SELECT 'demo', gen_random_uuid(), 1, 1000000 + n, $1, 'scale ' || n, '', '10.0.0.1', 1111, 'TCP',
    false, n, n - n % 2 FROM generate_series(1, $2::int) AS n
"""
AGED = "UPDATE scale_bridge.content SET created_at = created_at - interval '2 hours'"


async def as_owner(url: str, *statements: str, **given: Any) -> None:
    """Do what the application may not."""
    connection: Any = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement, *given.get("arguments", ()))
    finally:
        await connection.close()


async def test_a_thousand_scales_are_listed_without_looking_at_a_catalogue(database: str) -> None:
    """(R19)"""
    role = application_role(SERVICE)
    async with inside(database) as made, made.client() as anna:
        await as_owner(database, ROW, arguments=(ANNA, MANY))
        await as_owner(database, ROW, arguments=(uuid4(), 1))
        tables = ("content", "catalogue_copy", "events")
        await as_owner(
            database, *(f"REVOKE ALL ON scale_bridge.{table} FROM {role}" for table in tables)
        )
        listed = (await anna.get("/devices")).json()

    assert len(listed) == MANY
    assert sum(1 for one in listed if one["cached_dirty"]) == MANY // 2


async def test_only_the_last_revisions_are_kept(database: str) -> None:
    """(R7, R19)"""
    async with (
        a_scale(3) as scale,
        working(database, revisions=3) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        for price in range(1, 9):
            scale.base.keep(priced(3, float(price)))
            await fetched(anna, number)
        await as_owner(database, AGED)
        gone = await contents.tidy(made.deps.desk.pool, revisions=3)
        async with acquired(made.deps.desk.pool) as connection:
            left = await connection.fetchval("SELECT count(*) FROM content")
        listed = (await anna.get(f"/devices/{number}/revisions")).json()
        newest = max(one["revision"] for one in listed)
        old = await anna.get(f"/devices/{number}/revisions/{newest - 1}")
        now = (await anna.get(f"/devices/{number}/products/cached")).json()

    assert (gone, left) == (8 - left, pytest.approx(3, abs=1))
    assert {p["price"] for p in old.json()["products"]["products"]} == {7.0}
    assert {p["price"] for p in now["products"]["products"]} == {8.0}
