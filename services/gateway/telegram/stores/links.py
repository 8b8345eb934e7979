"""Phones linked to Telegram accounts, and updates that were handled.

A link lasts until its phone or its account is linked anew. It is no event: people without an
account may ask to be forgotten. Phone and account are stored as keyed digests, and sealed.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import TIMESTAMP, Column, MetaData, Table, Text, and_, delete, select
from sqlalchemy.dialects.postgresql import insert

from libs.postgres import query
from libs.postgres.pool import Connection, Pool, acquire
from libs.postgres.retention import prune
from libs.security.sealing import Seal

_TABLES: Final = MetaData()
LINK: Final = Table(
    "telegram_link",
    _TABLES,
    Column("phone", Text, primary_key=True),
    Column("telegram", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("linked_at", TIMESTAMP(timezone=True), nullable=False),
)
ONCE: Final = Table(
    "telegram_once",
    _TABLES,
    Column("what", Text, primary_key=True),
    Column("until", TIMESTAMP(timezone=True), nullable=False),
)
UPDATES_REMEMBERED: Final = timedelta(days=2)
"""Telegram repeats an update for one day at most."""


class TelegramLinks:
    """The store. All methods raise `Unavailable` without the database."""

    def __init__(self, pool: Pool, *, seal: Seal) -> None:
        self._pool = pool
        self._seal = seal

    async def take(
        self, update_id: int, *, now: datetime, phone: str | None = None, telegram_id: int = 0
    ) -> bool:
        """Record an update as handled and link `phone` (E.164), if given, in one transaction.

        False if the update was handled before; then nothing is done. A new link replaces those of
        the phone and of the Telegram account.
        """
        async with acquire(self._pool) as connection, connection.transaction():
            if not await _first(connection, f"update {update_id}", now + UPDATES_REMEMBERED, now):
                return False
            if phone is not None:
                await self._link(connection, phone, telegram_id, now)
            await prune(connection, "telegram_once", "until", now)
        return True

    async def is_known(self, update_id: int, *, now: datetime) -> bool:
        """Whether the update was handled."""
        c = ONCE.c
        known = select(c.what).where(c.what == f"update {update_id}", c.until > now)
        return await query.fetchval(self._pool, known) is not None

    async def first_use(self, fingerprint: str, *, until: datetime, now: datetime) -> bool:
        """Whether init data with this fingerprint is used for the first time (spec shop §2.4).

        Recorded until `until`, when the init data is stale.
        """
        async with acquire(self._pool) as connection, connection.transaction():
            return await _first(connection, f"init data {fingerprint}", until, now)

    async def chat_of(self, phone: str) -> int | None:
        """The Telegram account linked to the phone. Its id is also that of the private chat."""
        link = await self._link_by(LINK.c.phone, self._seal.digest("phone", phone))
        return int(link["telegram_id"]) if link else None

    async def phone_of(self, telegram_id: int) -> str | None:
        """The phone (E.164) linked to the Telegram account."""
        digest = self._seal.digest("telegram", str(telegram_id))
        link = await self._link_by(LINK.c.telegram, digest)
        return str(link["phone"]) if link else None

    async def is_linked(self, phone: str, telegram_id: int) -> bool:
        """Whether the phone is linked to the Telegram account."""
        return await self.chat_of(phone) == telegram_id

    async def unlink(self, phone: str) -> None:
        """Delete the link of the phone."""
        async with acquire(self._pool) as connection:
            digest = self._seal.digest("phone", phone)
            await query.execute(connection, delete(LINK).where(LINK.c.phone == digest))

    async def _link(
        self, connection: Connection, phone: str, telegram_id: int, now: datetime
    ) -> None:
        by_phone = self._seal.digest("phone", phone)
        by_telegram = self._seal.digest("telegram", str(telegram_id))
        content = msgspec.json.encode({"phone": phone, "telegram_id": telegram_id}).decode()
        values = {
            "telegram": by_telegram,
            "sealed": self._seal.seal(content, _context(by_phone)),
            "linked_at": now,
        }
        # An account has one phone: another link of it ends.
        await query.execute(
            connection,
            delete(LINK).where(and_(LINK.c.telegram == by_telegram, LINK.c.phone != by_phone)),
        )
        statement = insert(LINK).values(phone=by_phone, **values)
        await query.execute(
            connection,
            statement.on_conflict_do_update(index_elements=[LINK.c.phone], set_=values),
        )

    async def _link_by(self, column: Column[str], digest: str) -> Mapping[str, Any] | None:
        row = await query.fetchrow(self._pool, select(LINK).where(column == digest))
        if row is None:
            return None
        content: Mapping[str, Any] = msgspec.json.decode(
            self._seal.open(row["sealed"], _context(row["phone"]))
        )
        return content


def _context(by_phone: str) -> str:
    return f"telegram link {by_phone}"


async def _first(connection: Connection, what: str, until: datetime, now: datetime) -> bool:
    first = insert(ONCE).values(what=what, until=until)
    statement = first.on_conflict_do_update(
        index_elements=[ONCE.c.what],
        set_={"until": first.excluded.until},
        where=ONCE.c.until <= now,
    ).returning(ONCE.c.what)
    return await query.fetchval(connection, statement) is not None
