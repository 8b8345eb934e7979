"""Updates from Telegram, parsed strictly, and the bot's replies (spec shop §2.4)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias, assert_never

from libs.contact import mask_phone
from services.gateway.accounts.domain import person

_LARGEST_ID: Final = 2**52
_LIKE_A_NUMBER: Final = re.compile(r"[\d\s()+.\-]{10,25}", re.ASCII)
_INTERNATIONAL: Final = re.compile(r"\+?[0-9]{7,15}")
_LOGIN: Final = re.compile(r"/login_([0-9a-f]{8})", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message from a private chat, whose id is that of the sender."""

    telegram_id: int


class Start(Message):
    """`/start`, with or without a parameter."""


class Help(Message):
    """`/help`."""


class LinkStatus(Message):
    """`/status`: whether the phone is linked."""


class ForeignContact(Message):
    """A contact from the address book, which proves nothing."""


class TypedPhone(Message):
    """A typed phone number, which proves nothing."""


class Shops(Message):
    """`/shops`: the shops of the sender, and invitations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmLogin(Message):
    """`/login_…`, from our message: the sender confirms the request of a code."""

    nonce: str


class UnknownMessage(Message):
    """Any other message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnContact(Message):
    """The sender's own contact; Telegram verified `phone` (E.164)."""

    phone: str


class ButtonAction(StrEnum):
    """The action of a button below `/shops`."""

    ACCEPT = "accept"
    LEAVE = "leave"


@dataclass(frozen=True, kw_only=True, slots=True)
class ButtonPressed(Message):
    """A pressed button; `callback` is the id of the callback to answer."""

    callback: str
    action: ButtonAction
    tenant: str


BotCommand: TypeAlias = (
    Start | Help | LinkStatus | ForeignContact | TypedPhone | OwnContact | UnknownMessage
)
Update: TypeAlias = BotCommand | Shops | ButtonPressed | ConfirmLogin


class Keyboard(StrEnum):
    """The keyboard below a reply."""

    ASK_CONTACT = "ask contact"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Button:
    """A button below a message; `data` comes back when it is pressed."""

    text: str
    data: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A reply of the bot, as plain text. `buttons`, one per row, replace the `keyboard`."""

    text: str
    keyboard: Keyboard = Keyboard.NONE
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopListing:
    """A shop of a list: one works in it or is invited to it."""

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
NOT_FOUND: Final = "Этого приглашения или места больше нет: /shops"
LAST_ADMIN: Final = "Вы последний администратор магазина и не можете уйти."
MAX_DATA: Final = 64
"""The maximal bytes of `Button.data` in the Bot API."""
MAX_SHOPS: Final = 20
_CONFIRMED: Final = "✅ Вход подтверждён. Запросите код ещё раз."
_NOT_CONFIRMED: Final = "⚠️ Подтверждение устарело или уже использовано."
_UNKNOWN: Final = "Используйте команду /start, чтобы подтвердить номер, или /help для справки."


def update_id(update: object) -> int | None:
    """The id of an update, the same if it is repeated; None without a valid one."""
    value = update.get("update_id") if isinstance(update, Mapping) else None
    return value if type(value) is int and 0 <= value < 2**63 else None


def read(update: object) -> Update | None:
    """Parse an Update of the Bot API; None unless a person wrote it in a private chat.

    A contact counts as the sender's own only if its `user_id` is the sender's id.
    """
    if isinstance(update, Mapping) and "callback_query" in update:
        return _button_pressed(_member(update, "callback_query"))
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
    """The reply to a message. `linked` is the sender's phone, if one is linked."""
    match command:
        case Start():
            return Reply(text=_WELCOME, keyboard=Keyboard.ASK_CONTACT)
        case Help():
            return Reply(text=_HELP, keyboard=Keyboard.NONE)
        case OwnContact(phone=phone):
            return Reply(text=_LINKED.format(phone=masked(phone)), keyboard=Keyboard.NONE)
        case ForeignContact():
            return Reply(text=_FOREIGN, keyboard=Keyboard.ASK_CONTACT)
        case TypedPhone():
            return Reply(text=_TYPED, keyboard=Keyboard.ASK_CONTACT)
        case LinkStatus():
            return _status(linked)
        case UnknownMessage():
            return Reply(text=_UNKNOWN, keyboard=Keyboard.NONE)
        case _:
            assert_never(command)


def login_reply(*, confirmed: bool) -> Reply:
    """The reply to `ConfirmLogin`."""
    return Reply(text=_CONFIRMED if confirmed else _NOT_CONFIRMED, keyboard=Keyboard.NONE)


def shops_reply(shops: Sequence[ShopListing]) -> Reply:
    """The reply to `/shops`, with a button for each possible action."""
    if not shops:
        return Reply(text=_NO_SHOPS)
    rows = [
        (text.format(name=shop.name), f"{action} {shop.tenant}")
        for shop in shops[:MAX_SHOPS]
        for text, action in (
            ((_ACCEPT, ButtonAction.ACCEPT), (_DECLINE, ButtonAction.LEAVE))
            if shop.invited
            else ((_LEAVE, ButtonAction.LEAVE),)
        )
    ]
    fitting = tuple(Button(*row) for row in rows if len(row[1].encode()) <= MAX_DATA)
    return Reply(text=_SHOPS, buttons=fitting)


def code_text(code: str, *, invited: bool = False) -> str:
    """The message with a code. It contains no text of other people."""
    return (
        f"🔐 Ваш код подтверждения: {code}\n\n"
        "Код действует 5 минут. Если вы его не запрашивали, ничего не делайте."
        f"{_INVITED if invited else ''}"
    )


def confirmation_text(nonce: str) -> str:
    """The message that asks the owner of a phone to confirm the request of a code."""
    return (
        "⚠️ Сегодня для вашего номера вводили много неверных кодов.\n\n"
        f"Если сейчас входите вы, нажмите /login_{nonce} и запросите код ещё раз. "
        "Если нет, ничего не делайте."
    )


def masked(phone: str) -> str:
    """A phone with its middle digits hidden."""
    return mask_phone(phone, first=2, hidden="•••", last=4)


def phone_of(text: object) -> str | None:
    """Parse a phone as Telegram sends it, with or without a plus: E.164, None if malformed."""
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


def _button_pressed(query: Mapping[str, Any]) -> ButtonPressed | None:
    telegram_id = _id(_member(query, "from").get("id"))
    callback, data = query.get("id"), query.get("data")
    if telegram_id is None or not isinstance(callback, str) or not isinstance(data, str):
        return None
    word, _, tenant = data.partition(" ")
    if word not in list(ButtonAction) or not tenant:
        return None
    return ButtonPressed(
        telegram_id=telegram_id, callback=callback, action=ButtonAction(word), tenant=tenant
    )


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
            return LinkStatus(telegram_id=telegram_id)
        case "/shops":
            return Shops(telegram_id=telegram_id)
        case _ if _LIKE_A_NUMBER.fullmatch(text.strip()):
            return TypedPhone(telegram_id=telegram_id)
        case _:
            return UnknownMessage(telegram_id=telegram_id)


def _member(whole: object, name: str) -> Mapping[str, Any]:
    value = whole.get(name) if isinstance(whole, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _id(value: object) -> int | None:
    return value if type(value) is int and 0 < value < _LARGEST_ID else None
