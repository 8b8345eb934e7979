"""Phones linked to Telegram accounts, and updates that were handled.

A link lasts until its phone or its account is linked anew. It is no event: people without an
account may ask to be forgotten. Phone and account are stored as keyed digests, and sealed.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from libs.postgres import query
from libs.postgres.pool import Connection, Pool, acquire
from libs.postgres.retention import prune
from libs.security.sealing import Seal

BY_PHONE: Final = "SELECT phone, sealed FROM telegram_link WHERE phone = $1"
BY_TELEGRAM: Final = "SELECT phone, sealed FROM telegram_link WHERE telegram = $1"
# An account has one phone: another link of it ends.
UNLINK_OTHERS: Final = "DELETE FROM telegram_link WHERE telegram = $1 AND phone <> $2"
LINK: Final = """
    INSERT INTO telegram_link (phone, telegram, sealed, linked_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (phone) DO UPDATE SET telegram = $2, sealed = $3, linked_at = $4"""
UNLINK: Final = "DELETE FROM telegram_link WHERE phone = $1"
TAKE: Final = """
    INSERT INTO telegram_once AS known (what, until) VALUES ($1, $2)
    ON CONFLICT (what) DO UPDATE SET until = excluded.until WHERE known.until <= $3
    RETURNING true"""
IS_KNOWN: Final = "SELECT true FROM telegram_once WHERE what = $1 AND until > $2"
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
        return bool(await query.fetchval(self._pool, IS_KNOWN, f"update {update_id}", now))

    async def first_use(self, fingerprint: str, *, until: datetime, now: datetime) -> bool:
        """Whether init data with this fingerprint is used for the first time (spec shop §2.4).

        Recorded until `until`, when the init data is stale.
        """
        async with acquire(self._pool) as connection, connection.transaction():
            return await _first(connection, f"init data {fingerprint}", until, now)

    async def chat_of(self, phone: str) -> int | None:
        """The Telegram account linked to the phone. Its id is also that of the private chat."""
        link = await self._link_by(BY_PHONE, self._seal.digest("phone", phone))
        return int(link["telegram_id"]) if link else None

    async def phone_of(self, telegram_id: int) -> str | None:
        """The phone (E.164) linked to the Telegram account."""
        digest = self._seal.digest("telegram", str(telegram_id))
        link = await self._link_by(BY_TELEGRAM, digest)
        return str(link["phone"]) if link else None

    async def unlink(self, phone: str) -> None:
        """Delete the link of the phone."""
        await query.execute(self._pool, UNLINK, self._seal.digest("phone", phone))

    async def _link(
        self, connection: Connection, phone: str, telegram_id: int, now: datetime
    ) -> None:
        by_phone = self._seal.digest("phone", phone)
        by_telegram = self._seal.digest("telegram", str(telegram_id))
        content = msgspec.json.encode({"phone": phone, "telegram_id": telegram_id}).decode()
        sealed = self._seal.seal(content, _context(by_phone))
        await connection.execute(UNLINK_OTHERS, by_telegram, by_phone)
        await connection.execute(LINK, by_phone, by_telegram, sealed, now)

    async def _link_by(self, statement: str, digest: str) -> Mapping[str, Any] | None:
        row = await query.fetchrow(self._pool, statement, digest)
        if row is None:
            return None
        content: Mapping[str, Any] = msgspec.json.decode(
            self._seal.open(row["sealed"], _context(row["phone"]))
        )
        return content


def _context(by_phone: str) -> str:
    return f"telegram link {by_phone}"


async def _first(connection: Connection, what: str, until: datetime, now: datetime) -> bool:
    return bool(await connection.fetchval(TAKE, what, until, now))
