"""Logins through the gateway compared with bare Argon2id, and their cost for other callers."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import aiohttp
from argon2 import PasswordHasher

from deploy.local.services import GATEWAY
from libs.security.passwords import HASH_BYTES, SALT_BYTES, Cost
from services.gateway.settings import Settings
from tests.bench.bench import Bench, Loop
from tests.bench.generator import Generator, LoadFailed, Target
from tests.bench.house import Installation
from tests.bench.measure import Measured, at_least, limited
from tests.e2e.house import INGEST

EMAIL: Final = "bench@shop.example"
PASSWORD: Final = "correct horse battery"
ADMIN: Final = ("--email", EMAIL, "--realm", "crm", "--tenant", "demo", "--role", "ENGINEER")
THREADS: Final[int] = Settings.model_fields["password_threads"].default
CLIENTS: Final = 8
PARALLEL: Final = 50
PINGS: Final = 50
"""Scheduled requests a second of a caller who does not log in."""


def run(bench: Bench) -> Iterator[Measured]:
    """Throughput when that is all there is to do, then the others' latency at 50 in parallel."""
    scale = bench.scale
    with (
        bench.servers.installation(INGEST, GATEWAY) as ours,
        Loop() as loop,
        Generator() as pinging,
    ):
        _open(ours)
        fast, bare = bench.interleaved(
            loop.side(lambda: _rate(ours, scale.logins)), lambda: _bare(scale.logins)
        )
        yield Measured(
            "login throughput vs bare Argon2id",
            fast,
            bare,
            unit="logins/s",
            goal=at_least(0.8),
            note=f"{THREADS} threads on both sides, {CLIENTS} clients; the same cost of a hash",
        )
        (late,) = bench.interleaved(loop.side(lambda: _late(ours, pinging, scale.login_seconds)))
    yield limited(
        f"{PARALLEL} parallel logins delay others: p99 of /ping",
        late,
        limit=1000,
        unit="ms",
        note=f"{PINGS} a second on schedule, while {PARALLEL} clients log in again and again",
    )


def _open(ours: Installation) -> None:
    file = ours.settings.home / "bench_password"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PASSWORD)
    ours.run("services.gateway", "create-admin", "--password-file", str(file), *ADMIN)
    # The gateway is ready once the scanners' key opens, which its worker makes known.
    ours.start("gateway-api", "gateway-worker")
    ours.stop("gateway-worker")


async def _rate(ours: Installation, count: int) -> float:
    """Logins a second, each client waiting for its answer."""
    left = iter(range(count))

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in left:
            await _log_in(session, ours)

    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
        return count / (time.perf_counter() - began)


def _bare(count: int) -> float:
    """Verifies a second, by the library alone on as many threads."""
    cost = Cost()
    hasher = PasswordHasher(
        time_cost=cost.iterations,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        salt_len=SALT_BYTES,
        hash_len=HASH_BYTES,
    )
    hashed = hasher.hash(PASSWORD)
    with ThreadPoolExecutor(THREADS) as threads:
        began = time.perf_counter()
        right = list(threads.map(lambda _: hasher.verify(hashed, PASSWORD), range(count)))
        assert all(right)
        return count / (time.perf_counter() - began)


async def _late(ours: Installation, pinging: Generator, seconds: float) -> float:
    """The 99th percentile of what a ping took, in ms, counted from when it was due."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        over = asyncio.Event()

        async def client() -> None:
            while not over.is_set():
                await _log_in(session, ours)

        target = Target(url=f"{ours.gateway}/ping", headers={})
        logging_in = [asyncio.create_task(client()) for _ in range(PARALLEL)]
        try:
            pinging.begin_schedule(target, rate=PINGS, seconds=seconds)
            return (await asyncio.to_thread(pinging.result)).p(0.99)
        finally:
            over.set()
            await asyncio.gather(*logging_in)


async def _log_in(session: aiohttp.ClientSession, ours: Installation) -> None:
    form = {"username": EMAIL, "password": PASSWORD}
    async with session.post(f"{ours.gateway}/crm/api/v1/auth/token", data=form) as answer:
        await answer.read()
        if answer.status != 200:
            raise LoadFailed(f"login: {answer.status}")
