"""One-time codes, the bot and the Mini App, with a Bot API on loopback and a real database."""

from typing import Any

import pytest

from libs.errors import TooMany, Unavailable
from libs.postgres.pool import Pool
from libs.security import codes
from libs.testing.clock import NOON
from services.gateway.accounts.domain.person import Person
from services.gateway.administration.handlers.account import open_account
from services.gateway.bot.handlers import OutgoingReply, send
from services.gateway.telegram.adapters import Bot
from services.gateway.telegram.domain.bot_update import Keyboard, Reply
from services.gateway.telegram.domain.init_data import TelegramCaller
from services.gateway.telegram.domain.one_time_code import DeliveryMethod, Wrong
from services.gateway.telegram.handlers.mini_app import proved_phone
from services.gateway.telegram.handlers.one_time_code import (
    CodeContext,
    CodeDelivery,
    Owner,
    request_code,
    verify_code,
)
from services.gateway.telegram.stores.links import TelegramLinks
from tests.services.gateway.app import gateway_settings, open_context
from tests.services.gateway.bot_api import CHAT, BotApi
from tests.services.gateway.code_context import BOT_NAME, SEAL, context, some_address, some_phone

REGISTER = CodeDelivery(
    method=DeliveryMethod.REGISTER, bot_link=f"https://t.me/{BOT_NAME}?start=login"
)


@pytest.fixture
def phone() -> str:
    return some_phone()


def a_context(pool: Pool, phone: str, bot: Bot | None = None, **options: Any) -> CodeContext:
    """A desk that knows the phone as that of the chat."""
    owners = {phone: Owner(is_known=True, telegram_id=CHAT)}
    return context(pool, bot=bot, **{"owners": owners} | options)


@pytest.fixture
def at(pool: Pool, phone: str, bot: Bot) -> CodeContext:
    return a_context(pool, phone, bot)


async def request(at: CodeContext, phone: str) -> CodeDelivery | TooMany:
    return await request_code(at, phone, address=some_address())


async def attempt(at: CodeContext, phone: str, code: str) -> object:
    return await verify_code(at, phone, code, address=some_address())


@pytest.mark.parametrize("is_known", [False, True])
async def test_without_a_shared_contact_people_are_sent_to_the_bot(
    pool: Pool,
    bot_api: BotApi,
    bot: Bot,
    phone: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_known: bool,
) -> None:
    monkeypatch.setattr(codes, "generate", lambda: "123456")
    at = a_context(pool, phone, bot, owners={phone: Owner(is_known=is_known)})

    assert await request(at, phone) == REGISTER
    assert bot_api.messages == []
    assert await attempt(at, phone, "123456") == Wrong(remaining=2)


async def test_a_blocked_bot_means_registering(
    at: CodeContext, bot_api: BotApi, phone: str
) -> None:
    bot_api.blocked.add(CHAT)

    assert await request(at, phone) == REGISTER


async def test_while_telegram_is_away_requests_get_a_retry_after(
    at: CodeContext, bot_api: BotApi, phone: str
) -> None:
    bot_api.limits.append(40)

    with pytest.raises(Unavailable) as refused:
        await request(at, phone)

    assert refused.value.retry_after_seconds == 40


async def test_a_demo_needs_no_telegram(pool: Pool, bot_api: BotApi, bot: Bot, phone: str) -> None:
    bot_api.limits.append(40)
    delivery = await request(a_context(pool, phone, bot, is_demo=True), phone)

    assert isinstance(delivery, CodeDelivery)
    assert delivery.method is DeliveryMethod.DISPLAYED


async def test_a_phone_is_known_as_soon_as_its_account_is_open(url: str, phone: str) -> None:
    settings = gateway_settings("http://127.0.0.1:1", database_url=url)
    plain = some_phone()
    async with open_context(settings) as deps:
        for person in (Person(phone=phone, telegram_id=CHAT), Person(phone=plain)):
            await open_account(deps.identity, person, password=None, roles=[], actor="test")
        owner_of = deps.code_context.owner_of_phone

        assert await owner_of(phone) == Owner(is_known=True, telegram_id=CHAT)
        assert await owner_of(plain) == Owner(is_known=True, telegram_id=None)
        assert await owner_of(some_phone()) == Owner(is_known=False)


@pytest.fixture
async def links(pool: Pool) -> TelegramLinks:
    for table in ("telegram_link", "telegram_once"):
        await pool.execute(f"DELETE FROM {table}")
    return TelegramLinks(pool, seal=SEAL)


async def test_an_answer_that_cannot_be_sent_breaks_nothing(bot_api: BotApi, bot: Bot) -> None:
    hello = OutgoingReply(chat=CHAT, reply=Reply(text="?", keyboard=Keyboard.ASK_CONTACT))
    await send(bot, hello)
    bot_api.blocked.add(CHAT)
    await send(bot, hello)

    assert len(bot_api.messages) == 1


OWNED, LINKED = "+77020000001", "+77020000002"


@pytest.mark.parametrize(
    ("phone", "proved"),
    [(OWNED, OWNED), (LINKED, LINKED), (LINKED[1:], LINKED), (None, LINKED), ("", LINKED)],
)
async def test_a_phone_is_proved_by_a_contact_or_an_account(
    pool: Pool, links: TelegramLinks, phone: str | None, proved: str
) -> None:
    at = context(pool, owners={OWNED: Owner(is_known=True, telegram_id=CHAT)})
    await links.take(1, now=NOON, phone=LINKED, telegram_id=CHAT)
    caller = TelegramCaller(
        telegram_id=CHAT, first_name="", last_name="", username="", auth_date=NOON, fingerprint=""
    )

    assert await proved_phone(at, caller, phone) == proved
