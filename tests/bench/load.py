"""The load generator, a process of its own: `python -m tests.bench.load`.

Reads one command per line and answers one line, both JSON; see `tests.bench.generator`. Bodies
are made before the clock starts, because the generator must not be what is measured.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeAlias

import aiohttp
import asyncpg
import uvloop

from tests.bench.scans import batches

Command: TypeAlias = dict[str, Any]
Body: TypeAlias = tuple[str, bytes | None]

WATCH_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
ACCEPTED = {"200", "201"}


class Sender:
    def __init__(self, session: aiohttp.ClientSession, command: Command) -> None:
        self._session = session
        self._url = command["url"]
        self._headers = command["headers"] | {"Content-Type": "application/json"}
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.sent: list[tuple[str, float]] = []

    async def send(self, body: Body, since: float) -> bool:
        """One request; whether it was accepted. Its latency counts from `since` on the monotonic
        clock."""
        method = "GET" if body[1] is None else "POST"
        try:
            async with self._session.request(
                method, self._url, data=body[1], headers=self._headers
            ) as answer:
                await answer.read()
                status = str(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            status = type(error).__name__
        self.statuses[status] += 1
        self.latencies.append((time.perf_counter() - since) * 1000)
        return status in ACCEPTED


class Gate:
    """Lets through only so much more than has become visible: that is "without growing lag"."""

    def __init__(self, command: Command) -> None:
        self._window: int = command["window"]
        self._dsn: str = command["dsn"]
        self._sql: str = command["sql"]
        self.sent = 0
        self.seen: list[tuple[float, int]] = []

    @property
    def visible(self) -> int:
        return self.seen[-1][1] - self.seen[0][1]

    async def watch(self, opened: asyncio.Event) -> None:
        """Ask how much is visible, until cancelled."""
        named = {"application_name": "bench gate"}
        connection = await asyncpg.connect(self._dsn, server_settings=named)
        try:
            while True:
                self.seen.append((time.perf_counter(), await connection.fetchval(self._sql)))
                opened.set()
                await asyncio.sleep(WATCH_SECONDS)
        finally:
            await connection.close()

    async def enter(self, events: int) -> None:
        """Wait until so many events may be sent. Raises TimeoutError if nothing becomes visible."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.sent - self.visible > self._window:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.sent - self.visible} events do not become visible")
            await asyncio.sleep(WATCH_SECONDS / 10)
        self.sent += events

    def withdraw(self, events: int) -> None:
        """These were refused: they never become visible, and must not hold up those behind."""
        self.sent -= events


async def closed(command: Command) -> dict[str, Any]:
    """`connections` clients, each sending once it was answered, until `count` or `seconds`."""
    size = command.get("size", 0)
    bodies: Iterator[Body] = iter(list(_bodies(command["count"], size, command.get("bodies", ()))))
    gate = Gate(command["gate"]) if command.get("gate") else None
    async with _session(command["connections"]) as session, asyncio.TaskGroup() as background:
        sender, opened = Sender(session, command), asyncio.Event()
        watching = background.create_task(gate.watch(opened)) if gate else None
        if watching:
            await opened.wait()
        began, cpu = time.perf_counter(), time.process_time()
        ends = began + command.get("seconds", 1e9)

        async def client() -> None:
            for body in bodies:
                if gate:
                    await gate.enter(size)
                now = time.perf_counter()
                if now > ends:
                    return
                if not await sender.send(body, now) and gate:
                    gate.withdraw(size)

        await asyncio.gather(*(client() for _ in range(command["connections"])))
        seconds = time.perf_counter() - began
        answer = _answer(sender, seconds, time.process_time() - cpu)
        if gate and watching:
            answer["seen"] = list(gate.seen)
            await _until_visible(gate, sender, size)
            watching.cancel()
    return answer


async def schedule(command: Command) -> dict[str, Any]:
    """Requests at fixed moments, whether or not the earlier ones were answered."""
    rate, seconds = command["rate"], command["seconds"]
    bodies = list(_bodies(int(rate * seconds), command.get("size", 0)))
    async with _session(command["connections"]) as session, asyncio.TaskGroup() as group:
        sender = Sender(session, command)
        began, wall, cpu = time.perf_counter(), time.time(), time.process_time()
        for n, body in enumerate(bodies):
            await asyncio.sleep(began + n / rate - time.perf_counter())
            sender.sent.append((body[0], wall + n / rate))
            group.create_task(sender.send(body, began + n / rate))
    took = time.perf_counter() - began
    return _answer(sender, took, time.process_time() - cpu) | {"sent": sender.sent}


def _bodies(count: int, size: int, given: Sequence[str] = ()) -> Iterator[Body]:
    """The given texts, or else so many batches of scans, or requests without a body."""
    if given:
        return (("", text.encode()) for text in given)
    return iter(batches(count, size=size)) if size else (("", None) for _ in range(count))


def _session(connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60)
    return aiohttp.ClientSession(connector=connector)


async def _until_visible(gate: Gate, sender: Sender, size: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while gate.visible < sender.statuses["200"] * size:
        if time.monotonic() > deadline:
            raise TimeoutError("what was accepted did not become visible")
        await asyncio.sleep(WATCH_SECONDS)


def _answer(sender: Sender, seconds: float, cpu: float) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "cpu": cpu,
        "busy": cpu / seconds,
        "latencies": sender.latencies,
        "statuses": sender.statuses,
    }


COMMANDS: dict[str, Callable[[Command], Awaitable[dict[str, Any]]]] = {
    "closed": closed,
    "schedule": schedule,
}


async def main() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        try:
            answer = await COMMANDS[command["kind"]](command)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the other side must hear it
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
