"""Sends pages of the log as numbered batches.

A batch is saved, then sent, and confirmed in the table together with the next one.
"""

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
"""Opens the trace span around the sending of a page."""


class LogChanged(Exception):
    """The log lacks events of a saved batch: it was restored from elsewhere or tampered with."""


@dataclass(frozen=True, slots=True)
class PreparedPage:
    """A page, its batch if that is prepared already, and the next page if it was read already."""

    page: PageOf[Row]
    prepared: PreparedBatch | None = None
    following: PageOf[Row] | None = None


class BatchSender:
    """Sends batches after `batch` in one epoch; `batch` itself may still have to be sent.

    `heads` are the last confirmed numbers of every partition. With `kind` only streams of this kind
    are sent. `page` is the size of the pages read ahead.
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

    async def read_next(self) -> PageOf[Row]:
        """The page after `batch` in its difference; it may be empty."""
        return await self._read(self.batch, self.batch.until_position, None, self._page)

    async def send_again(self) -> None:
        """Send the saved batch, byte for byte, unless it is confirmed. Raises LogChanged."""
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

    async def send(self, prepared_page: PreparedPage) -> PreparedPage | None:
        """Save a page, which must have events, as the next batch, and send it.

        Meanwhile the next page of the difference is prepared and the one after it is read, so that
        database, broker and this process work in parallel. Raises Deposed, UnknownTopic,
        SpentPublisher, KafkaError.
        """
        page = prepared_page.page
        batch = self.batch.next(page)
        prepared = prepared_page.prepared or await self._prepare(page, batch.first_seq)
        failpoint("relay-saving")
        await self._table.save(batch, self._unwritten)
        failpoint("relay-saved")
        self.batch, self._unwritten = batch, {}
        return await self._publish(page.events, prepared, prepared_page.following)

    async def confirm(self) -> None:
        """Save that the last batch is sent, if it is not saved yet; for when no batch follows."""
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
                ahead = await self._prepare_next(following)
                await self._leadership.during(sending)
            finally:
                # No record of this page may be in flight when another publisher starts.
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            failpoint("relay-flushed")
        self._unwritten = prepared.heads
        metrics.RELAYED.inc(len(rows))
        return ahead

    async def _prepare_next(self, following: PageOf[Row] | None) -> PreparedPage | None:
        """The page after the current batch, if its difference has more."""
        batch = self.batch
        page = following or await self._read_after(batch.cursor)
        if page is None or not page.events:
            return None
        reading = asyncio.ensure_future(self._read_after(page.cursor))
        try:
            prepared = await self._prepare(page, batch.next_seq)
            return PreparedPage(page, prepared, await reading)
        except UnknownTopic:
            # The error is raised again when this page is sent, not while another one is in flight.
            return PreparedPage(page, following=await reading)
        finally:
            # The connection must be free when this returns.
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read_after(self, cursor: Cursor) -> PageOf[Row] | None:
        """The page after the cursor, if its difference has more."""
        if cursor.complete:
            return None
        return await self._read(cursor, cursor.after_position, None, self._page)

    async def _read(
        self, bounds: RelayBatch | Cursor, after: int, until: int | None, limit: int
    ) -> PageOf[Row]:
        upper = {} if until is None else {"until_position": until}
        return await read_rows_of_difference(
            self._leadership.connection,
            bounds.published,
            bounds.target,
            after=after,
            limit=limit,
            kind=self._kind,
            **upper,
        )

    async def _prepare(self, page: PageOf[Row], first_seq: int) -> PreparedBatch:
        identity = self._leadership.identity
        return await self._publisher.prepare(page.events, first_seq, self._heads, identity)
