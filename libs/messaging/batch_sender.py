"""Sends pages of the log as numbered batches: saved first, then sent, confirmed with the next."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

from libs.eventsourcing.tail import Cursor, PageOf, read_rows_of_difference
from libs.failpoints import failpoint
from libs.messaging import metrics
from libs.messaging.leadership import Leadership
from libs.messaging.publisher import PreparedBatch, Publisher, TopicPartition, UnknownTopic
from libs.messaging.relay_batch import BatchTable, RelayBatch
from libs.messaging.wire import Row

BatchSpan: TypeAlias = Callable[[Sequence[Row]], AbstractContextManager[Any]]
"""What surrounds the sending of a page, for the traces."""


class LogChanged(Exception):
    """The log no longer holds what a batch promised: it was restored from elsewhere or tampered."""


@dataclass(frozen=True, slots=True)
class PreparedPage:
    """A page, how it goes out if that is known already, and the page behind it if it was read."""

    page: PageOf[Row]
    prepared: PreparedBatch | None = None
    following: PageOf[Row] | None = None


class BatchSender:
    """Sends batches in one epoch, behind `batch`, which may still have to be sent itself.

    `heads` are the last numbers in every partition, of batches that are confirmed. If `kind` is
    given, only streams of this kind are sent. `page` is the size of the pages read ahead.
    """

    def __init__(
        self,
        leadership: Leadership,
        publisher: Publisher,
        table: BatchTable,
        batch: RelayBatch,
        heads: dict[TopicPartition, int],
        *,
        span: BatchSpan,
        page: int,
        kind: str = "",
    ) -> None:
        self._leadership = leadership
        self._publisher = publisher
        self._table = table
        self._heads = heads
        self._span = span
        self._page = page
        self._kind = kind
        self._unwritten: dict[TopicPartition, int] = {}
        self.batch = batch

    async def send_again(self) -> None:
        """Send the batch that was saved but perhaps not sent, word for word. Raises LogChanged."""
        batch = self.batch
        if batch.confirmed:
            return
        count = batch.next_seq - batch.first_seq
        page = await self._read(batch, batch.after_position, batch.until_position, count)
        if len(page.events) != count:
            raise LogChanged(
                f"batch {batch.number} had {count} events, now there are {len(page.events)}"
            )
        await self._publish(page.events, await self._prepare(page, batch.first_seq))
        await self.confirm()

    async def send(self, one: PreparedPage) -> PreparedPage | None:
        """Save a page that has events as the next batch, and send it.

        The page behind it, if the difference has more, is prepared meanwhile, and the one behind
        that is read: so database, broker and this process all have something to do. Raises Deposed,
        UnknownTopic, SpentPublisher, KafkaError.
        """
        batch = self.batch.next(one.page)
        prepared = one.prepared or await self._prepare(one.page, batch.first_seq)
        failpoint("relay-saving")
        await self._table.save(batch, self._unwritten)
        failpoint("relay-saved")
        self.batch, self._unwritten = batch, {}
        return await self._publish(one.page.events, prepared, one.following)

    async def confirm(self) -> None:
        """Write that the last batch is sent, unless that is known; for when no other follows."""
        if self._unwritten:
            self.batch = await self._table.confirm(self.batch, self._unwritten)
            self._unwritten = {}

    async def _publish(
        self, rows: Sequence[Row], prepared: PreparedBatch, following: PageOf[Row] | None = None
    ) -> PreparedPage | None:
        with self._span(rows):
            sending = asyncio.ensure_future(self._publisher.send(prepared))
            try:
                self._heads |= prepared.heads
                ahead = await self._ahead(following)
                await self._leadership.during(sending)
            finally:
                # Nothing of this page may be on its way when another publisher begins anew.
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            failpoint("relay-flushed")
        self._unwritten = prepared.heads
        metrics.RELAYED.inc(len(rows))
        return ahead

    async def _ahead(self, following: PageOf[Row] | None) -> PreparedPage | None:
        """What goes out after the batch, if its difference has more."""
        batch = self.batch
        page = following or await self._behind(batch.cursor)
        if page is None or not page.events:
            return None
        reading = asyncio.ensure_future(self._behind(page.cursor))
        try:
            prepared = await self._prepare(page, batch.next_seq)
            return PreparedPage(page, prepared, await reading)
        except UnknownTopic:
            # It is raised again when it is this page's turn, not while another is on its way.
            return PreparedPage(page, following=await reading)
        finally:
            # The connection is free again when this returns.
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _behind(self, cursor: Cursor) -> PageOf[Row] | None:
        """The page behind the cursor, if its difference has more."""
        if cursor.complete:
            return None
        return await self._read(cursor, cursor.after_position, None, self._page)

    async def _read(
        self, of: RelayBatch | Cursor, after: int, until: int | None, limit: int
    ) -> PageOf[Row]:
        bound = {} if until is None else {"until_position": until}
        return await read_rows_of_difference(
            self._leadership.connection,
            of.published,
            of.target,
            after=after,
            limit=limit,
            kind=self._kind,
            **bound,
        )

    async def _prepare(self, page: PageOf[Row], first_seq: int) -> PreparedBatch:
        identity = self._leadership.identity
        return await self._publisher.prepare(page.events, first_seq, self._heads, identity)
