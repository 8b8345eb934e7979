"""A sent scan or a removal is on the dashboard at once, without a token."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from time import time
from typing import Any

from httpx import AsyncClient
from pydantic import SecretStr

from libs.http.visible import STALE
from libs.messaging.worker import open_worker
from libs.process.service import make_app, open_service_context
from libs.telemetry.traces import set_up
from libs.testing.callers import bearer, client_of, verifier
from libs.testing.polling import eventually
from libs.testing.visible import awaited_models
from services.ingest.bootstrap import SERVICE, projections
from tests.libs.messaging.lab import running
from tests.services.ingest.history import SETTINGS, batch, event, uuid
from tests.services.ingest.service import BATCH, BULK, READ, REMOVING, STATE, WRITE

PATIENT = 60.0


@dataclass(frozen=True)
class Ingest:
    """The API beside a worker's read models, and a client that may do everything."""

    client: AsyncClient
    worker: Any

    async def send(self, *numbers: int) -> bool:
        """Send items; whether the answer says that they are visible."""
        now = int(time() * 1000)
        body = batch(*(event(number, ts=now) for number in numbers))
        answer = await self.client.post(BATCH, content=body)
        assert answer.json()["inserted"] == len(numbers), answer.text
        return STALE not in answer.headers

    async def items(self) -> int:
        """What the dashboard counts."""
        counted: int = (await self.client.get(STATE)).json()["summary"]["items"]
        return counted


@asynccontextmanager
async def open_ingest(database: str, **different: Any) -> AsyncIterator[Ingest]:
    settings = SETTINGS.model_copy(
        update={"database_url": SecretStr(database), "stale_wait_seconds": PATIENT} | different
    )
    telemetry = set_up(SERVICE.name)
    async with (
        open_service_context(SERVICE, settings, telemetry) as deps,
        open_worker(
            settings, service=SERVICE.name, projections=projections(settings), telemetry=telemetry
        ) as worker,
    ):
        app = make_app(SERVICE, replace(deps, verifier=verifier(SERVICE.name)))
        assert awaited_models(app) <= {model.name for model in projections(settings)}
        everything = bearer(
            SERVICE.name,
            subject="device-1",
            tenant="demo",
            scopes=(READ, WRITE, REMOVING),
            kind="api-key",
        )
        async with client_of(app, everything) as client:
            yield Ingest(client, worker.projections)


async def test_scans_and_removals_are_on_the_dashboard_with_their_response(
    database: str,
) -> None:
    async with (
        open_ingest(database, visible_wait_seconds=PATIENT) as ingest,
        running(ingest.worker),
    ):
        for number in range(1, 26):
            assert await ingest.send(number)
            assert await ingest.items() == number
        for left in range(24, 19, -1):
            body = {"operator": "vera", "uuids": [uuid(left + 1)]}
            answer = await ingest.client.post(BULK, json=body)
            assert answer.json()["ok"]
            assert STALE not in answer.headers
            assert await ingest.items() == left


async def test_parallel_senders_each_see_their_own_batch(database: str) -> None:
    async with (
        open_ingest(database, visible_wait_seconds=PATIENT) as ingest,
        running(ingest.worker),
    ):

        async def send_and_look(client: int) -> None:
            for n in range(5):
                number = 100 * client + n
                assert await ingest.send(number)
                rows = (await ingest.client.get("/api/v1/dashboard/raw?limit=1000")).text
                assert uuid(number) in rows

        await asyncio.gather(*(send_and_look(client) for client in range(1, 11)))


async def test_without_a_worker_the_response_to_a_batch_is_marked_stale_unless_it_does_not_wait(
    database: str,
) -> None:
    async with open_ingest(database) as ingest:
        assert [await ingest.send(n) for n in (1, 2, 3)] == [False] * 3
        async with running(ingest.worker):
            await eventually(ingest.items, 3)
    async with open_ingest(database, visible_wait_seconds=0) as ingest:
        assert await ingest.send(4)
