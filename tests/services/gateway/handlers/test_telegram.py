"""One-time codes, the bot and the Mini App, with a Bot API on loopback and a real database."""

from typing import Any
from urllib.parse import urlencode

import pytest

from libs.errors import Unavailable
from libs.postgres.pool import Pool
from libs.security import codes
from libs.testing.clock import NOON, Clock
from services.gateway import bootstrap
from services.gateway.adapters.telegram import Bot
from services.gateway.adapters.telegram_links import TelegramLinks
from services.gateway.domain.bot_update import Keyboard, Reply
from services.gateway.domain.one_time_code import TooMany, Way, Wrong
from services.gateway.domain.person import Person
from services.gateway.domain.telegram_init_data import TelegramCaller, sign
from services.gateway.handlers.account import open_account
from services.gateway.handlers.bot import Answer, handle, say
from services.gateway.handlers.mini_app import (
    proved_phone,
    read_init_data,
)
from services.gateway.handlers.one_time_code import (
    CodeDesk,
    Delivery,
    Owner,
    request_code,
    verify_code,
)
from tests.services.gateway.adapters.bot_api import CHAT, TOKEN, BotApi
from tests.services.gateway.code_desk import BOT_NAME, SEAL, desk, some_address, some_phone
from tests.services.gateway.conftest import gateway_settings

REGISTER = Delivery(way=Way.REGISTER, bot_link=f"https://t.me/{BOT_NAME}?start=login")


@pytest.fixture
def phone() -> str:
    return some_phone()


def a_desk(pool: Pool, phone: str, bot: Bot | None = None, **options: Any) -> CodeDesk:
    """A desk that knows the phone as that of the chat."""
    owners = {phone: Owner(is_known=True, telegram_id=CHAT)}
    return desk(pool, bot=bot, **{"owners": owners} | options)


@pytest.fixture
def at(pool: Pool, phone: str, bot: Bot) -> CodeDesk:
    return a_desk(pool, phone, bot)


async def request(at: CodeDesk, phone: str) -> Delivery | TooMany:
    return await request_code(at, phone, address=some_address())


async def attempt(at: CodeDesk, phone: str, code: str) -> object:
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
    at = a_desk(pool, phone, bot, owners={phone: Owner(is_known=is_known)})

    assert await request(at, phone) == REGISTER
    assert bot_api.messages == []
    assert await attempt(at, phone, "123456") == Wrong(remaining=4)


async def test_a_blocked_bot_means_registering(at: CodeDesk, bot_api: BotApi, phone: str) -> None:
    bot_api.blocked.add(CHAT)

    assert await request(at, phone) == REGISTER


async def test_while_telegram_is_away_people_are_asked_to_come_back(
    at: CodeDesk, bot_api: BotApi, phone: str
) -> None:
    bot_api.limits.append(40)

    with pytest.raises(Unavailable) as refused:
        await request(at, phone)

    assert refused.value.retry_after_seconds == 40


async def test_a_demo_needs_no_telegram(pool: Pool, bot_api: BotApi, bot: Bot, phone: str) -> None:
    bot_api.limits.append(40)
    delivery = await request(a_desk(pool, phone, bot, is_demo=True), phone)

    assert isinstance(delivery, Delivery)
    assert delivery.way is Way.SHOWN


async def test_a_phone_is_known_as_soon_as_its_account_is_open(url: str, phone: str) -> None:
    settings = gateway_settings("http://127.0.0.1:1", database_url=url)
    plain = some_phone()
    async with bootstrap.open_deps(settings) as deps:
        for person in (Person(phone=phone, telegram_id=CHAT), Person(phone=plain)):
            await open_account(deps.identity, person, password=None, roles=[], actor="test")
        owner_of = deps.code_desk.who_has

        assert await owner_of(phone) == Owner(is_known=True, telegram_id=CHAT)
        assert await owner_of(plain) == Owner(is_known=True, telegram_id=None)
        assert await owner_of(some_phone()) == Owner(is_known=False)


EVE = 666


@pytest.fixture
async def links(pool: Pool) -> TelegramLinks:
    for table in ("telegram_link", "telegram_once"):
        await pool.execute(f"DELETE FROM {table}")
    return TelegramLinks(pool, seal=SEAL)


def update(number: int, sender: int = CHAT, **message: Any) -> dict[str, Any]:
    given = {"from": {"id": sender}, "chat": {"id": sender, "type": "private"}}
    return {"update_id": number, "message": given | message}


def contact(number: int, phone: str, *, sender: int = CHAT) -> dict[str, Any]:
    """A contact of the account `CHAT`, whoever sends it."""
    return update(number, sender, contact={"phone_number": phone[1:], "user_id": CHAT})


async def answer_to(links: TelegramLinks, update: object) -> Answer:
    answer = await handle(links, update, clock=Clock())
    assert answer is not None
    return answer


async def test_the_contact_of_another_account_is_not_linked(links: TelegramLinks) -> None:
    phone = some_phone()
    await answer_to(links, contact(1, phone))

    stolen = await answer_to(links, contact(2, phone, sender=EVE))
    typed = await answer_to(links, update(3, EVE, text=phone))

    assert stolen.reply.keyboard is typed.reply.keyboard is Keyboard.ASK_CONTACT
    assert await links.chat_of(phone) == CHAT
    assert await links.phone_of(EVE) is None


async def test_an_answer_that_cannot_be_sent_breaks_nothing(bot_api: BotApi, bot: Bot) -> None:
    hello = Answer(chat=CHAT, reply=Reply(text="?", keyboard=Keyboard.ASK_CONTACT))
    await say(bot, hello)
    bot_api.blocked.add(CHAT)
    await say(bot, hello)

    assert len(bot_api.messages) == 1


OWNED, LINKED, FOREIGN, UNKNOWN = (f"+7702000000{n}" for n in range(1, 5))


@pytest.fixture
async def app_desk(pool: Pool, links: TelegramLinks) -> CodeDesk:
    """Where one phone is the chat's by its account, one by its contact, one is another's."""
    owners = {
        OWNED: Owner(is_known=True, telegram_id=CHAT),
        FOREIGN: Owner(is_known=True, telegram_id=7),
    }
    await links.take(1, now=NOON, phone=LINKED, telegram_id=CHAT)
    return desk(pool, owners=owners)


def caller(
    app_desk: CodeDesk, telegram_id: int = CHAT, query_id: str = "1", bot_token: str = TOKEN
) -> TelegramCaller:
    """The caller of init data that the bot of `TOKEN` signed, as `bot_token` reads it."""
    fields = {
        "auth_date": str(int(app_desk.clock().timestamp())),
        "query_id": query_id,
        "user": f'{{"id":{telegram_id}}}',
    }
    init_data = urlencode(fields | {"hash": sign(fields, TOKEN)})
    return read_init_data(app_desk, init_data, bot_token=bot_token)


@pytest.mark.parametrize(
    ("phone", "proved"),
    [(OWNED, OWNED), (LINKED, LINKED), (LINKED[1:], LINKED), (None, LINKED), ("", LINKED)],
)
async def test_a_phone_is_proved_by_a_contact_or_an_account(
    app_desk: CodeDesk, phone: str | None, proved: str
) -> None:
    assert await proved_phone(app_desk, caller(app_desk), phone) == proved
