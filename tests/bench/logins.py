"""Logins through the gateway beside bare Argon2id, and what they cost whoever does not log in."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import aiohttp
from argon2 import PasswordHasher

from deploy.local import ports
from deploy.local.services import Chore
from libs.security.passwords import HASH_BYTES, SALT_BYTES, Cost
from services.gateway.settings import Settings
from tests.bench.bench import Bench, Loop
from tests.bench.generator import LoadFailed
from tests.bench.house import Installation
from tests.bench.measure import Measured, at_least, limited, percentile

EMAIL: Final = "bench@shop.example"
PASSWORD: Final = "correct horse battery"
ADMIN: Final = ("--email", EMAIL, "--realm", "crm", "--tenant", "demo", "--role", "ENGINEER")
THREADS: Final[int] = Settings.model_fields["password_threads"].default
CLIENTS: Final = 8
PARALLEL: Final = 50
PINGS: Final = 50
"""Requests a second of somebody who does not log in, on schedule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Doors:
    """Where to log in, and where to ask for nothing."""

    login: str
    ping: str


def run(bench: Bench) -> Iterator[Measured]:
    """Throughput when that is all there is to do, then the others' latency at 50 in parallel."""
    scale = bench.scale
    with bench.house.installation(gateway=True) as ours, Loop() as loop:
        doors = _opened(ours)
        fast, bare = bench.interleaved(
            loop.side(lambda: _rate(doors, scale.logins)), lambda: _bare(scale.logins)
        )
        yield Measured(
            name="login throughput vs bare Argon2id",
            unit="logins/s",
            ours=fast,
            reference=bare,
            goal=at_least(0.7),
            note=f"{THREADS} threads on both sides, {CLIENTS} clients; the same cost of a hash",
        )
        (late,) = bench.interleaved(loop.side(lambda: _late(doors, scale.login_seconds)))
    yield limited(
        f"{PARALLEL} parallel logins delay others: p99 of /ping",
        late,
        limit=1000,
        unit="ms",
        note=f"{PINGS} a second on schedule, while {PARALLEL} clients log in again and again",
    )


def _opened(ours: Installation) -> Doors:
    file = ours.settings.home / "bench_password"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PASSWORD)
    create = ("-m", "services.gateway", "create-admin", "--password-file", str(file), *ADMIN)
    ours.run(Chore(name="create-admin", arguments=create))
    ours.start("gateway-api")
    origin = f"http://{ports.LOOPBACK}:{ours.settings.gateway_port}"
    return Doors(login=f"{origin}/crm/api/v1/auth/token", ping=f"{origin}/ping")


async def _rate(doors: Doors, count: int) -> float:
    """Logins a second, each client waiting for its answer."""
    left = iter(range(count))

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in left:
            await _log_in(session, doors)

    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
        return count / (time.perf_counter() - began)


def _bare(count: int) -> float:
    """Verifies a second, by the library alone on as many threads."""
    cost = Cost()
    hasher = PasswordHasher(
        time_cost=cost.passes,
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


async def _late(doors: Doors, seconds: float) -> float:
    """The 99th percentile of what a ping took, in ms, counted from when it was due."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        over = asyncio.Event()

        async def client() -> None:
            while not over.is_set():
                await _log_in(session, doors)

        logging_in = [asyncio.create_task(client()) for _ in range(PARALLEL)]
        try:
            return percentile(await _pings(session, doors, seconds), 0.99)
        finally:
            over.set()
            await asyncio.gather(*logging_in)


async def _pings(session: aiohttp.ClientSession, doors: Doors, seconds: float) -> list[float]:
    began = time.perf_counter()

    async def ping(due: float) -> float:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        async with session.get(doors.ping) as answer:
            await answer.read()
            if answer.status != 200:
                raise LoadFailed(f"ping: {answer.status}")
        return (time.perf_counter() - due) * 1000

    number = max(1, int(seconds * PINGS))
    return await asyncio.gather(*(ping(began + n / PINGS) for n in range(number)))


async def _log_in(session: aiohttp.ClientSession, doors: Doors) -> None:
    form = {"username": EMAIL, "password": PASSWORD}
    async with session.post(doors.login, data=form) as answer:
        await answer.read()
        if answer.status != 200:
            raise LoadFailed(f"login: {answer.status}")
