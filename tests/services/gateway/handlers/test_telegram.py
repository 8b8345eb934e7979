"""One-time codes, the bot and the Mini App, with a Bot API on loopback and a real database."""

import asyncio
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from libs.errors import Unavailable
from libs.postgres.pool import Pool
from libs.security import codes
from libs.testing.clock import Clock
from services.gateway import bootstrap
from services.gateway.adapters.telegram import Bot
from services.gateway.adapters.telegram_links import TelegramLinks
from services.gateway.domain.bot_update import Keyboard, Reply
from services.gateway.domain.one_time_code import Expired, TooMany, Verified, Way, Wrong
from services.gateway.domain.person import Person
from services.gateway.domain.telegram_init_data import InitDataForged, TelegramCaller, sign
from services.gateway.handlers.account import open_account
from services.gateway.handlers.bot import Answer, handle, say
from services.gateway.handlers.mini_app import (
    InitDataUsed,
    NoPhone,
    PhoneNotProved,
    proved_phone,
    read_init_data,
    use_up,
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


def last_code(bot_api: BotApi) -> str:
    (code,) = re.findall(r"\b\d{6}\b", bot_api.last_to(CHAT)["text"])
    return str(code)


async def test_a_code_by_telegram_opens_once(at: CodeDesk, bot_api: BotApi, phone: str) -> None:
    with capture_logs() as lines:
        delivery = await request(at, phone)
    code = last_code(bot_api)

    assert delivery == Delivery(way=Way.TELEGRAM)
    assert code not in str(lines)
    assert await attempt(at, phone, code) == Verified()
    assert await attempt(at, phone, code) == Expired()


async def test_a_shared_contact_gets_codes_without_an_account(
    pool: Pool, bot_api: BotApi, bot: Bot, phone: str
) -> None:
    at = a_desk(pool, phone, bot, owners={})
    await at.links.take(1, now=at.clock(), phone=phone, telegram_id=CHAT)

    assert await request(at, phone) == Delivery(way=Way.TELEGRAM)
    assert await attempt(at, phone, last_code(bot_api)) == Verified()


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


async def test_without_a_bot_there_are_no_codes(pool: Pool, phone: str) -> None:
    with pytest.raises(Unavailable):
        await request(a_desk(pool, phone), phone)


async def test_without_a_bot_the_demo_shows_the_code_and_logs_it(pool: Pool, phone: str) -> None:
    at = a_desk(pool, phone, is_demo=True)

    with capture_logs() as lines:
        delivery = await request(at, phone)

    assert isinstance(delivery, Delivery)
    assert delivery.way is Way.SHOWN
    (line,) = lines
    assert (line["code"], "demo" in line["event"]) == (delivery.code, True)
    assert phone not in str(lines)
    assert await attempt(at, phone, delivery.code or "") == Verified()


async def test_a_demo_needs_no_telegram(pool: Pool, bot_api: BotApi, bot: Bot, phone: str) -> None:
    bot_api.limits.append(40)
    delivery = await request(a_desk(pool, phone, bot, is_demo=True), phone)

    assert isinstance(delivery, Delivery)
    assert delivery.way is Way.SHOWN


async def test_the_newest_code_counts(
    at: CodeDesk, bot_api: BotApi, phone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated = iter(["111111", "222222"])
    monkeypatch.setattr(codes, "generate", lambda: next(generated))
    for code in ("111111", "222222"):
        await request(at, phone)
        assert last_code(bot_api) == code

    assert await attempt(at, phone, "111111") == Wrong(remaining=4)
    assert await attempt(at, phone, "222222") == Verified()


async def test_too_many_requests_send_nothing(at: CodeDesk, bot_api: BotApi, phone: str) -> None:
    answers = [await request(at, phone) for _ in range(12)]

    assert [type(one) for one in answers] == [Delivery] * 10 + [TooMany] * 2
    assert len(bot_api.messages) == 10


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


async def test_an_own_contact_is_linked_and_confirmed(links: TelegramLinks) -> None:
    phone = some_phone()

    answer = await answer_to(links, contact(1, phone))
    status = await answer_to(links, update(2, text="/status"))

    assert (answer.chat, answer.reply.keyboard) == (CHAT, Keyboard.NONE)
    assert phone[-4:] in status.reply.text
    assert await links.chat_of(phone) == CHAT


async def test_the_contact_of_another_account_is_not_linked(links: TelegramLinks) -> None:
    phone = some_phone()
    await answer_to(links, contact(1, phone))

    stolen = await answer_to(links, contact(2, phone, sender=EVE))
    typed = await answer_to(links, update(3, EVE, text=phone))

    assert stolen.reply.keyboard is typed.reply.keyboard is Keyboard.ASK_CONTACT
    assert await links.chat_of(phone) == CHAT
    assert await links.phone_of(EVE) is None


async def test_a_repeated_update_does_nothing_and_is_not_answered(links: TelegramLinks) -> None:
    phone = some_phone()
    await answer_to(links, contact(1, phone))
    await links.unlink(phone)

    assert await handle(links, contact(1, phone), clock=Clock()) is None
    assert await links.chat_of(phone) is None


@pytest.mark.parametrize("sent", [None, [], {"update_id": 1}, {"update_id": "1", "message": {}}])
async def test_what_is_no_message_is_not_answered(links: TelegramLinks, sent: object) -> None:
    assert await handle(links, sent, clock=Clock()) is None


async def test_an_answer_that_cannot_be_sent_breaks_nothing(bot_api: BotApi, bot: Bot) -> None:
    hello = Answer(chat=CHAT, reply=Reply(text="?", keyboard=Keyboard.ASK_CONTACT))
    await say(bot, hello)
    bot_api.blocked.add(CHAT)
    await say(bot, hello)

    assert len(bot_api.messages) == 1


OWNED, LINKED, FOREIGN, UNKNOWN = (f"+7702000000{n}" for n in range(1, 5))


@pytest.fixture
async def app_desk(pool: Pool) -> CodeDesk:
    """Where one phone is the chat's by its account, one by its contact, one is another's."""
    owners = {
        OWNED: Owner(is_known=True, telegram_id=CHAT),
        FOREIGN: Owner(is_known=True, telegram_id=7),
    }
    made = desk(pool, owners=owners)
    await made.links.take(1, now=made.clock(), phone=LINKED, telegram_id=CHAT)
    return made


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


@pytest.mark.parametrize(
    ("telegram_id", "phone", "refused"),
    [
        (CHAT, FOREIGN, PhoneNotProved),
        (CHAT, UNKNOWN, PhoneNotProved),
        (666, None, NoPhone),
        (666, "", NoPhone),
        (666, "no phone", NoPhone),
    ],
)
async def test_the_apps_word_for_a_phone_proves_nothing(
    app_desk: CodeDesk, telegram_id: int, phone: str | None, refused: type[Exception]
) -> None:
    with pytest.raises(refused):
        await proved_phone(app_desk, caller(app_desk, telegram_id), phone)


async def test_init_data_logs_in_once(app_desk: CodeDesk) -> None:
    same = [caller(app_desk, query_id="once") for _ in range(5)]

    used = await asyncio.gather(*(use_up(app_desk, one) for one in same), return_exceptions=True)

    assert sorted(type(one).__name__ for one in used) == ["InitDataUsed"] * 4 + ["NoneType"]
    with pytest.raises(InitDataUsed):
        await use_up(app_desk, same[0])
    await use_up(app_desk, caller(app_desk, query_id="another"))


def test_init_data_of_another_bot_is_forged(app_desk: CodeDesk) -> None:
    with pytest.raises(InitDataForged):
        caller(app_desk, bot_token="1:another")
