"""Updates from Telegram, parsed strictly, and the bot's replies (spec shop §2.4)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias, assert_never

from services.gateway.accounts.domain import person

_LARGEST_ID: Final = 2**52
_LIKE_A_NUMBER: Final = re.compile(r"[\d\s()+.\-]{10,25}", re.ASCII)
_INTERNATIONAL: Final = re.compile(r"\+?[0-9]{7,15}")
_LOGIN: Final = re.compile(r"/login_([0-9a-f]{8})", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """Who said it. In a private chat the chat's id is the sender's."""

    telegram_id: int


class Start(Message):
    """`/start`, with or without a parameter."""


class Help(Message):
    """`/help`."""


class Status(Message):
    """`/status`: is my phone linked?"""


class ForeignContact(Message):
    """A contact out of the address book: it proves nothing."""


class TypedNumber(Message):
    """A number typed by hand: it proves nothing either."""


class Shops(Message):
    """`/shops`: where do I work, and who invites me?"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmLogin(Message):
    """`/login_…`, out of our message: yes, it is me who asks for a code."""

    nonce: str


class SomethingElse(Message):
    """Whatever else people say to a bot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnContact(Message):
    """The sender's own contact; `phone` is E.164, vouched for by Telegram."""

    phone: str


class Choice(StrEnum):
    """What a button below `/shops` does."""

    ACCEPT = "accept"
    LEAVE = "leave"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen(Message):
    """A button was pressed; `callback` is what Telegram wants answered."""

    callback: str
    choice: Choice
    tenant: str


BotCommand: TypeAlias = (
    Start | Help | Status | ForeignContact | TypedNumber | OwnContact | SomethingElse
)
Update: TypeAlias = BotCommand | Shops | Chosen | ConfirmLogin


class Keyboard(StrEnum):
    """What stands below the answer."""

    ASK_CONTACT = "ask contact"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Button:
    """A button below a message; `data` comes back when it is pressed."""

    text: str
    data: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What the bot says. Plain text: nothing in it is markup. `buttons` stand in the
    place of a `keyboard`, each in a row of its own."""

    text: str
    keyboard: Keyboard = Keyboard.NONE
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopEntry:
    """A shop that somebody works in or is invited to."""

    tenant: str
    name: str
    invited: bool


BUTTON: Final = "📱 Поделиться номером телефона"
_WELCOME: Final = (
    "🌸 Здравствуйте! Этот бот присылает коды для входа в систему цветочного магазина.\n\n"
    "Нажмите кнопку ниже, чтобы подтвердить свой номер телефона."
)
_LINKED: Final = (
    "✅ Номер {phone} подтверждён. Вернитесь на страницу входа и запросите код ещё раз."
)
_FOREIGN: Final = "⚠️ Это не ваш контакт. Подтвердить можно только свой номер: нажмите кнопку ниже."
_TYPED: Final = (
    "⚠️ Номер, введённый вручную, подтвердить нельзя. "
    "Нажмите кнопку ниже, чтобы поделиться своим контактом."
)
_HELP: Final = (
    "/start — подтвердить номер телефона\n"
    "/status — проверить, подтверждён ли номер\n"
    "/shops — ваши магазины и приглашения\n"
    "/help — эта справка\n\n"
    "Коды действуют 5 минут. Никому их не сообщайте: сотрудники их не спрашивают."
)
_IS_LINKED: Final = "✅ Ваш номер {phone} подтверждён, коды для входа приходят сюда."
_NOT_LINKED: Final = "Номер телефона ещё не подтверждён. Нажмите кнопку ниже."
_INVITED: Final = "\n\nВас приглашают в магазин: /shops"
_NO_SHOPS: Final = "У вас нет ни магазина, ни приглашений."
_SHOPS: Final = "Ваши магазины и приглашения:"
_ACCEPT: Final = "✅ Принять: {name}"
_DECLINE: Final = "❌ Отклонить: {name}"
_LEAVE: Final = "🚪 Уйти: {name}"
ACCEPTED: Final = "✅ Приглашение принято. Войдите по коду ещё раз."
LEFT: Final = "Готово: вы там больше не работаете."
GONE: Final = "Этого приглашения или места больше нет: /shops"
STAYS: Final = "Вы последний администратор магазина и не можете уйти."
MAX_DATA: Final = 64
"""Bytes of `Button.data`, as the Bot API has them."""
MAX_SHOPS: Final = 20
_CONFIRMED: Final = "✅ Вход подтверждён. Запросите код ещё раз."
_NOT_CONFIRMED: Final = "⚠️ Подтверждение устарело или уже использовано."
_OTHERWISE: Final = "Используйте команду /start, чтобы подтвердить номер, или /help для справки."


def update_id(update: object) -> int | None:
    """The number by which a repeated update is known; None if it has none."""
    found = update.get("update_id") if isinstance(update, Mapping) else None
    return found if type(found) is int and 0 <= found < 2**63 else None


def read(update: object) -> Update | None:
    """What an Update of the Bot API means, or None if it is nothing a person said in private.

    Only a contact whose `user_id` is the sender's own counts as theirs.
    """
    if isinstance(update, Mapping) and "callback_query" in update:
        return _chosen(_member(update, "callback_query"))
    message = _member(update, "message")
    sender = _member(message, "from")
    chat = _member(message, "chat")
    telegram_id = _id(sender.get("id"))
    if telegram_id is None or sender.get("is_bot") is True:
        return None
    if chat.get("type") != "private" or chat.get("id") != telegram_id:
        return None
    if "contact" in message:
        return _contact(telegram_id, _member(message, "contact"))
    text = message.get("text")
    return _text(telegram_id, text if isinstance(text, str) else "")


def reply_to(command: BotCommand, *, linked: str | None = None) -> Reply:
    """What to answer. `linked` is the sender's phone, if one is linked."""
    match command:
        case Start():
            return Reply(text=_WELCOME, keyboard=Keyboard.ASK_CONTACT)
        case Help():
            return Reply(text=_HELP, keyboard=Keyboard.NONE)
        case OwnContact(phone=phone):
            return Reply(text=_LINKED.format(phone=masked(phone)), keyboard=Keyboard.NONE)
        case ForeignContact():
            return Reply(text=_FOREIGN, keyboard=Keyboard.ASK_CONTACT)
        case TypedNumber():
            return Reply(text=_TYPED, keyboard=Keyboard.ASK_CONTACT)
        case Status():
            return _status(linked)
        case SomethingElse():
            return Reply(text=_OTHERWISE, keyboard=Keyboard.NONE)
        case _:
            assert_never(command)


def login_reply(*, confirmed: bool) -> Reply:
    """What to answer to `ConfirmLogin`."""
    return Reply(text=_CONFIRMED if confirmed else _NOT_CONFIRMED, keyboard=Keyboard.NONE)


def shops_reply(shops: Sequence[ShopEntry]) -> Reply:
    """Where somebody works and is invited to, with a button for each thing they can do."""
    if not shops:
        return Reply(text=_NO_SHOPS)
    rows = [
        (text.format(name=shop.name), f"{choice} {shop.tenant}")
        for shop in shops[:MAX_SHOPS]
        for text, choice in (
            ((_ACCEPT, Choice.ACCEPT), (_DECLINE, Choice.LEAVE))
            if shop.invited
            else ((_LEAVE, Choice.LEAVE),)
        )
    ]
    fitting = tuple(Button(*row) for row in rows if len(row[1].encode()) <= MAX_DATA)
    return Reply(text=_SHOPS, buttons=fitting)


def code_text(code: str, *, invited: bool = False) -> str:
    """The message that carries a code; it never says what a stranger wrote."""
    return (
        f"🔐 Ваш код подтверждения: {code}\n\n"
        "Код действует 5 минут. Если вы его не запрашивали, ничего не делайте."
        f"{_INVITED if invited else ''}"
    )


def confirmation_text(nonce: str) -> str:
    """The message in whose place a code comes once its owner has confirmed that they ask."""
    return (
        "⚠️ Сегодня для вашего номера вводили много неверных кодов.\n\n"
        f"Если сейчас входите вы, нажмите /login_{nonce} и запросите код ещё раз. "
        "Если нет, ничего не делайте."
    )


def masked(phone: str) -> str:
    """Enough of a phone to recognise one's own."""
    return f"{phone[:2]}•••{phone[-4:]}" if len(phone) > 8 else "•••"


def phone_of(text: object) -> str | None:
    """E.164 of a phone as Telegram writes it, with or without a plus; None if it is none."""
    if not isinstance(text, str) or not _INTERNATIONAL.fullmatch(text):
        return None
    try:
        return person.phone(f"+{text.removeprefix('+')}").text
    except person.BadAddress:
        return None


def _status(linked: str | None) -> Reply:
    if linked is None:
        return Reply(text=_NOT_LINKED, keyboard=Keyboard.ASK_CONTACT)
    return Reply(text=_IS_LINKED.format(phone=masked(linked)), keyboard=Keyboard.NONE)


def _contact(telegram_id: int, contact: Mapping[str, Any]) -> BotCommand:
    phone = phone_of(contact.get("phone_number"))
    owner = contact.get("user_id")
    if phone is None or type(owner) is not int or owner != telegram_id:
        return ForeignContact(telegram_id=telegram_id)
    return OwnContact(telegram_id=telegram_id, phone=phone)


def _chosen(query: Mapping[str, Any]) -> Chosen | None:
    telegram_id = _id(_member(query, "from").get("id"))
    callback, data = query.get("id"), query.get("data")
    if telegram_id is None or not isinstance(callback, str) or not isinstance(data, str):
        return None
    word, _, tenant = data.partition(" ")
    if word not in list(Choice) or not tenant:
        return None
    return Chosen(telegram_id=telegram_id, callback=callback, choice=Choice(word), tenant=tenant)


def _text(telegram_id: int, text: str) -> BotCommand | Shops | ConfirmLogin:
    word = text.split(maxsplit=1)[0].partition("@")[0] if text.strip() else ""
    if (login := _LOGIN.fullmatch(word)) is not None:
        return ConfirmLogin(telegram_id=telegram_id, nonce=login[1])
    match word:
        case "/start":
            return Start(telegram_id=telegram_id)
        case "/help":
            return Help(telegram_id=telegram_id)
        case "/status":
            return Status(telegram_id=telegram_id)
        case "/shops":
            return Shops(telegram_id=telegram_id)
        case _ if _LIKE_A_NUMBER.fullmatch(text.strip()):
            return TypedNumber(telegram_id=telegram_id)
        case _:
            return SomethingElse(telegram_id=telegram_id)


def _member(whole: object, name: str) -> Mapping[str, Any]:
    found = whole.get(name) if isinstance(whole, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _id(value: object) -> int | None:
    return value if type(value) is int and 0 < value < _LARGEST_ID else None
