"""Code desks and the bot's links on a real database, with phones and addresses of their own."""

import itertools

from libs.postgres.pool import Pool
from libs.security.sealing import Seal, derive_key, generate_key
from libs.testing.clock import Clock
from services.gateway.telegram.adapters import Bot
from services.gateway.telegram.handlers.one_time_code import CodeContext, Owner
from services.gateway.telegram.stores.codes import CodeStore
from services.gateway.telegram.stores.links import TelegramLinks

SEALING_KEY = generate_key()
SEAL = Seal([SEALING_KEY])
CODE_KEY = derive_key(SEALING_KEY, "one-time code")
BOT_NAME = "cvety_bot"
_numbers = itertools.count(1)


def some_phone() -> str:
    """A phone no other test has."""
    return f"+7701{next(_numbers):07}"


def some_address() -> str:
    """A network address no other test has."""
    number = next(_numbers)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def context(
    pool: Pool,
    *,
    bot: Bot | None = None,
    is_demo: bool = False,
    owners: dict[str, Owner] | None = None,
) -> CodeContext:
    """A desk whose accounts are `owners`, by phone."""

    async def owner_of_phone(phone: str) -> Owner:
        return (owners or {}).get(phone, Owner(is_known=False))

    return CodeContext(
        codes=CodeStore(pool, seal=SEAL, key=CODE_KEY),
        links=TelegramLinks(pool, seal=SEAL),
        owner_of_phone=owner_of_phone,
        bot=bot,
        bot_name=BOT_NAME,
        is_demo=is_demo,
        clock=Clock(),
    )
