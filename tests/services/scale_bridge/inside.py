"""A scale bridge on a real database, with people at its API and its bridge at work."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from contracts.scale_bridge import OperationEnded, OperationQueued
from libs.clock import utc_now
from libs.eventsourcing.store import envelope
from libs.http.auth import TokenVerifier
from libs.security.sealing import generate_key
from libs.security.tokens import SigningKey, issue
from libs.telemetry.traces import set_up
from services.scale_bridge import bootstrap
from services.scale_bridge.adapters.simulator.server import Simulator
from services.scale_bridge.bootstrap import create_app, open_deps, open_executor
from services.scale_bridge.deps import Deps
from services.scale_bridge.handlers.execute import Executor
from services.scale_bridge.settings import Settings

KEY = SigningKey.generate()
SEAL_KEY = generate_key()
PASSWORD = "1234"
ANNA, BORIS = uuid4(), uuid4()


def scale_settings(url: str, **different: Any) -> Settings:
    """Settings of a bridge that is quick, and may speak to scales on this machine."""
    given = {
        "DATABASE_URL": url,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SCALE_BRIDGE_JWKS_URL": "http://unused",
        "SCALE_BRIDGE_SEAL_KEYS": SEAL_KEY,
        "SCALE_BRIDGE_ALLOW_LOOPBACK": "true",
        "SCALE_BRIDGE_POLL_SECONDS": "0.02",
        "SCALE_BRIDGE_CONNECT_SECONDS": "1",
        "SCALE_BRIDGE_REPLY_SECONDS": "1",
    }
    return Settings.from_env("SCALE_BRIDGE", given).model_copy(update=different)


@dataclass
class UpToDate:
    """Read models that are carried over whenever somebody asks whether they are fresh."""

    deps: Deps | None = None
    position: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def wait(self, projection: str, token: str) -> bool:
        """They are by now."""
        assert self.deps is not None
        async with self.turn:
            store = self.deps.desk.store
            async for page in store.log.read_all(after=self.position):
                told = [envelope(one, store.decode(one)) for one in page]
                for model in bootstrap.projections(self.deps.settings):
                    mine = [one for one in told if _topic(one.stream) in model.topics]
                    async with self.deps.desk.pool.acquire() as held, held.transaction():
                        await model.project(held, mine)
                self.position = page[-1].position
        return True

    async def caught_up(self, projection: str) -> bool:
        """The same."""
        return await self.wait(projection, "now")


def _topic(stream: str) -> str:
    return f"scale-bridge.{stream.partition('-')[0]}"


@dataclass(kw_only=True)
class Inside:
    """The service, its app, and whoever is at work in it."""

    settings: Settings
    deps: Deps
    app: FastAPI
    fresh: UpToDate

    @asynccontextmanager
    async def client(
        self,
        who: UUID = ANNA,
        *,
        tenant: str = "demo",
        scopes: Sequence[str] = ("scales:read", "scales:write"),
    ) -> AsyncIterator[AsyncClient]:
        """Somebody with a token."""
        token = issue(
            KEY,
            subject=str(who),
            tenant=tenant,
            scopes=scopes,
            kind="person",
            audience=bootstrap.SERVICE,
            issuer=self.settings.issuer,
            now=utc_now() - timedelta(minutes=1),
            lifetime=timedelta(hours=1),
        )
        async with self.nobody() as made:
            made.headers["Authorization"] = f"Bearer {token}"
            yield made

    @asynccontextmanager
    async def nobody(self) -> AsyncIterator[AsyncClient]:
        """Somebody without a token."""
        transport = ASGITransport(self.app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://scales", timeout=60) as made:
            yield made

    async def events(self, kind: type[Any] | None = None) -> list[Any]:
        """Everything in the log, or all of one class, in order."""
        store, found = self.deps.desk.store, []
        async for page in store.log.read_all():
            found += [store.decode(one) for one in page]
        return [one for one in found if kind is None or isinstance(one, kind)]

    async def ends(self) -> list[OperationEnded]:
        """How operations ended so far."""
        return await self.events(OperationEnded)

    async def one_end_each(self) -> None:
        """Every operation has ended, and once (R24)."""
        queued = [event.operation_id for event in await self.events(OperationQueued)]
        ends = [event.operation_id for event in await self.ends()]
        assert sorted(queued) == sorted(ends)


@asynccontextmanager
async def inside(url: str, *, by_worker: bool = False, **different: Any) -> AsyncIterator[Inside]:
    """The API, without anybody who does the work; its read models are kept `by_worker` or here."""
    settings = scale_settings(url, **different)
    async with open_deps(settings, set_up(bootstrap.SERVICE)) as opened:
        fresh = UpToDate()
        verifier = TokenVerifier(
            audience=bootstrap.SERVICE, issuer=settings.issuer, keys={KEY.kid: KEY.public}
        )
        deps = replace(opened, verifier=verifier)
        if not by_worker:
            deps = replace(deps, freshness=fresh)
        fresh.deps = deps
        yield Inside(settings=settings, deps=deps, app=create_app(deps), fresh=fresh)


@asynccontextmanager
async def at_work(settings: Settings) -> AsyncIterator[Executor]:
    """A bridge that works, as in a worker; stopped at the end, with little patience."""
    async with open_executor(settings) as executor:
        executor.drain_seconds = 0.1
        stop = asyncio.Event()
        working = asyncio.create_task(executor.bridge(stop))
        try:
            yield executor
        finally:
            stop.set()
            await working


@asynccontextmanager
async def working(url: str, **different: Any) -> AsyncIterator[Inside]:
    """The API, and a bridge at work."""
    async with inside(url, **different) as made, at_work(made.settings):
        yield made


async def registered(client: AsyncClient, simulator: Simulator, **different: Any) -> int:
    """The number of a scale that was just registered, by a name of its own."""
    # A port may have been another scale's in the same test.
    body = {
        "name": f"scale {simulator.port} {uuid4()}",
        "ip": simulator.host,
        "port": simulator.port,
        "password": PASSWORD,
    }
    answer = await client.post("/devices", json=body | different)
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["id"]
    return number


async def fetched(client: AsyncClient, number: int) -> dict[str, Any]:
    """The catalogue, read from the scale just now."""
    answer = await client.get(f"/devices/{number}/products")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()["products"]
    return document


async def dirty(client: AsyncClient, number: int) -> bool:
    """The flag, which the device itself and the list must agree about."""
    one = (await client.get(f"/devices/{number}")).json()
    listed = (await client.get("/devices")).json()
    assert one in listed
    flag: bool = one["cached_dirty"]
    return flag


async def patch(client: AsyncClient, number: int, plu: int | str, **fields: Any) -> Any:
    """Edit a product; the answer."""
    return await client.patch(f"/devices/{number}/products/{plu}", json={"fields": fields})


async def eventually(holds: Any, seconds: float = 20) -> None:
    """Wait for an awaitable condition to hold."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


async def edited(anna: AsyncClient, simulator: Simulator) -> int:
    """A scale whose copy was edited."""
    number = await registered(anna, simulator)
    await fetched(anna, number)
    assert (await patch(anna, number, 2, price=99.5)).status_code == 200
    return number


async def ended(anna: AsyncClient, ordered: Response) -> Any:
    """How an operation that was ordered ended."""
    assert ordered.status_code == 202, ordered.text

    async def over() -> bool:
        return bool((await anna.get(ordered.headers["Location"])).json()["status"] == "ended")

    await eventually(over)
    return (await anna.get(ordered.headers["Location"])).json()
