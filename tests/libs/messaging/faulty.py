"""Fault injection: publishers that fail once at a chosen point, and a broker that hangs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

import psutil
from aiokafka.producer.message_accumulator import BatchBuilder

from libs.messaging.publisher import PreparedBatch, Publisher, TopicPartition


class Failed(Exception):
    """The injected error."""


class Fault:
    """Fails the `nth` page at `point` with an error, or blocks for ever if it `hangs`."""

    def __init__(
        self, connect: Callable[[], Awaitable[Publisher]], point: str, *, nth: int = 2, hangs: bool
    ) -> None:
        self._connect = connect
        self._point = point
        self._left = nth
        self._hangs = hangs
        self.connected = 0
        self.reached = asyncio.Event()

    async def connect(self) -> Publisher:
        """A publisher with the injected fault."""
        made = await self._connect()
        made.__class__ = _FaultyPublisher
        assert isinstance(made, _FaultyPublisher)
        made.fault = self
        self.connected += 1
        return made

    async def at(self, point: str) -> None:
        """Fail if `point` is the chosen one."""
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            self.reached.set()
            if self._hangs:
                await asyncio.Event().wait()
            raise Failed(point)

    def due(self, point: str) -> bool:
        """Whether the next call at `point` fails."""
        return point == self._point and self._left == 1


class _FaultyPublisher(Publisher):
    fault: Fault

    async def send(self, batch: PreparedBatch) -> None:
        await self.fault.at("before sending")
        await super().send(batch)
        await self.fault.at("before confirming")

    async def _send_all(self, batches: Mapping[TopicPartition, Sequence[BatchBuilder]]) -> None:
        some: Mapping[TopicPartition, Sequence[BatchBuilder]] = batches
        if self.fault.due("after some partitions"):
            some = dict(islice(batches.items(), 1))
        if self.fault.due("after half of each partition"):
            assert any(len(them) > 1 for them in batches.values()), "batches are too big to halve"
            some = {place: them[: -(-len(them) // 2)] for place, them in batches.items()}
        await super()._send_all(some)
        await self.fault.at("after some partitions")
        await self.fault.at("after half of each partition")


POINTS = (
    "before sending",
    "after some partitions",
    "after half of each partition",
    "before confirming",
)


@contextmanager
def hanging_broker(bootstrap: str) -> Iterator[None]:
    """The broker keeps its connections and does not answer while the block runs."""
    port = int(bootstrap.rpartition(":")[2])
    (listener,) = (
        one
        for one in psutil.net_connections(kind="tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port
    )
    broker = psutil.Process(listener.pid)
    broker.suspend()
    try:
        yield
    finally:
        broker.resume()
