"""All processes together fit into the 100 connections Postgres allows by default.

Context: every process pools for itself, and a database that refuses connections takes all
services down at once. Decision: pools are small, and every one that an API process and a worker
open is counted here, with the connection of its doorbell. Consequence: adding a pool, a
reaction or a projection shows the sum.
"""

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from libs.http import revocations
from libs.postgres import doorbell, guarded_pool, pool
from libs.process.commands import _open_worker
from libs.process.service import Service, open_app, open_tasks
from libs.telemetry.traces import set_up
from libs.testing import databases
from services.gateway.bootstrap import SERVICE as GATEWAY
from services.ingest.bootstrap import SERVICE as INGEST
from services.scale_bridge.bootstrap import SERVICE as SCALE_BRIDGE
from tests.services.gateway.app import gateway_settings
from tests.services.ingest.history import SETTINGS as INGEST_SETTINGS
from tests.services.scale_bridge.service import scale_settings

DEFAULT_LIMIT = 100
RESERVED = 3 + 4
"""Postgres keeps three for superusers; one operator may mend something."""
SHARE = 2 / 3
"""Of these three services; as many are to come."""
AWAY = "127.0.0.1:1"


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of the pools opened meanwhile, 1 for every doorbell."""
    sizes: list[int] = []

    class CountedPool(guarded_pool.GuardedPool):
        def __init__(self, dsn: str, *, size: int, **different: Any) -> None:
            sizes.append(size)
            super().__init__(dsn, size=size, **different)

    class CountedDoorbell(doorbell.Doorbell):
        def __init__(self, dsn: str, service: str) -> None:
            sizes.append(1)
            super().__init__(dsn, service)

    with monkeypatch.context() as patch:
        patch.setattr(pool, "GuardedPool", CountedPool)
        patch.setattr(doorbell, "Doorbell", CountedDoorbell)
        # No worker makes the table of revoked sessions level.
        patch.setattr(revocations, "FIRST_SECONDS", 0.0)
        yield sizes


async def connections(
    service: Service[Any], url: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> int:
    """How many an API process and a worker hold at most, each with pools of its own."""
    settings = settings.model_copy(
        update={"database_url": SecretStr(url), "kafka_bootstrap_servers": AWAY}
    )
    telemetry = set_up(service.name, None)
    with counting(monkeypatch) as sizes:
        async with AsyncExitStack() as worker:
            await _open_worker(service, settings, telemetry, worker)
            await worker.enter_async_context(open_tasks(service, settings))
        async with open_app(service, settings, telemetry, {}):
            pass
    await telemetry.stop()
    return sum(sizes)


async def test_all_services_fit_into_one_server(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {}
    for service, settings in (
        (INGEST, INGEST_SETTINGS),
        (GATEWAY, gateway_settings("http://127.0.0.1:1")),
        (SCALE_BRIDGE, scale_settings("postgresql://a:b@127.0.0.1:1/none")),
    ):
        with databases.migrated(postgres_url, service.name) as url:
            held[service.name] = await connections(service, url, settings, monkeypatch)

    assert sum(held.values()) <= (DEFAULT_LIMIT - RESERVED) * SHARE, held
