"""What codes and the bot stand on: a real database of their own, keys, and a clock that is set."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.security.sealing import Seal, derive_key, generate_key
from services.gateway.adapters.codes import Codes
from services.gateway.adapters.telegram import Bot
from services.gateway.adapters.telegram_links import TelegramLinks
from services.gateway.handlers.one_time_code import CodeDesk, Owner
from tests import databases

SEALING_KEY = generate_key()
SEAL = Seal([SEALING_KEY])
CODE_KEY = derive_key(SEALING_KEY, "one-time code")
BOT_NAME = "cvety_bot"
_numbers = itertools.count(1)


@dataclass
class Time:
    """A clock that only moves when told to."""

    now: datetime = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """So much later."""
        self.now += timedelta(seconds=seconds)


@contextmanager
def migrated(postgres_url: str) -> Iterator[str]:
    """The address of a database with the gateway's tables, for a whole module."""
    with databases.migrated(postgres_url, "gateway") as address:
        yield address


@asynccontextmanager
async def pool_of(url: str, size: int = 10) -> AsyncIterator[Pool]:
    """A pool with the rights of the gateway."""
    pool = await open_pool(
        url,
        role=application_role("gateway"),
        schema="gateway",
        size=size,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    try:
        yield pool
    finally:
        await pool.close()


def some_phone() -> str:
    """A phone nobody used before."""
    return f"+7701{next(_numbers):07}"


def some_address() -> str:
    """A network address nobody used before."""
    number = next(_numbers)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def desk(
    pool: Pool,
    time: Time,
    *,
    bot: Bot | None = None,
    is_demo: bool = False,
    owners: dict[str, Owner] | None = None,
) -> CodeDesk:
    """A desk whose accounts are `owners`, by phone."""

    async def who_has(phone: str) -> Owner:
        return (owners or {}).get(phone, Owner(is_known=False))

    return CodeDesk(
        codes=Codes(pool, seal=SEAL, key=CODE_KEY),
        links=TelegramLinks(pool, seal=SEAL),
        who_has=who_has,
        bot=bot,
        bot_name=BOT_NAME,
        is_demo=is_demo,
        clock=time,
    )
