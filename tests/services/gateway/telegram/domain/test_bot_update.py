"""What people write to the bot is read strictly: only their own contact proves a phone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.telegram.domain.bot_update import (
    MAX_DATA,
    BotCommand,
    ButtonAction,
    ButtonPressed,
    ConfirmLogin,
    ForeignContact,
    Help,
    Keyboard,
    LinkStatus,
    OwnContact,
    ShopListing,
    Shops,
    Start,
    TypedPhone,
    UnknownMessage,
    confirmation_text,
    masked,
    read,
    reply_to,
    shops_reply,
    update_id,
)

ANNA = 4242


def update(sender: Any = ANNA, **message: Any) -> dict[str, Any]:
    given = {
        "message_id": 1,
        "from": {"id": sender, "is_bot": False, "first_name": "Анна"},
        "chat": {"id": sender, "type": "private"},
    }
    return {"update_id": 1, "message": given | message}


def contact(**fields: Any) -> dict[str, Any]:
    return update(contact={"phone_number": "77011234567", "user_id": ANNA} | fields)


START = update(text="/start")["message"]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/start", Start),
        ("/start login", Start),
        ("/start@cvety_bot", Start),
        (" /help ", Help),
        ("/status", LinkStatus),
        ("/shops", Shops),
        ("/starting", UnknownMessage),
        *((f"/login{odd}", UnknownMessage) for odd in ("", "_0123abc", "_0123abcde", "_0123abcG")),
        ("привет", UnknownMessage),
        ("", UnknownMessage),
        ("+7 701 123-45-67", TypedPhone),
        ("87011234567", TypedPhone),
        ("8 (701) 123 45 67", TypedPhone),
        ("123", UnknownMessage),
    ],
)
def test_words_are_commands(text: str, command: type[BotCommand]) -> None:
    assert read(update(text=text)) == command(telegram_id=ANNA)  # type: ignore[call-arg]


PRESSED = {"id": "7", "from": {"id": ANNA}, "data": "accept shop-1"}
CHOSEN = ButtonPressed(telegram_id=ANNA, callback="7", action=ButtonAction.ACCEPT, tenant="shop-1")


@pytest.mark.parametrize(
    ("changed", "meant"),
    [
        ({}, CHOSEN),
        *(({"data": data}, None) for data in ("accept", "accept ", "take shop-1", None, 7)),
        *(({"from": sender}, None) for sender in (None, {}, {"id": "4242"})),
        ({"id": 7}, None),
    ],
)
def test_a_button_is_read_strictly(changed: dict[str, Any], meant: ButtonPressed | None) -> None:
    assert read({"update_id": 1, "callback_query": PRESSED | changed}) == meant


def test_a_shop_has_a_button_for_each_action() -> None:
    shown = [
        ShopListing(tenant="shop-1", name="Розы", invited=False),
        ShopListing(tenant="shop-2", name="Сад", invited=True),
        ShopListing(tenant="x" * MAX_DATA, name="Длинный", invited=True),
    ]

    data = [button.data for button in shops_reply(shown).buttons]

    assert data == ["leave shop-1", "accept shop-2", "leave shop-2"]
    assert shops_reply(()).buttons == ()


def test_a_login_is_confirmed_by_the_word_of_our_message() -> None:
    confirmed = ConfirmLogin(telegram_id=ANNA, nonce="0123abcd")

    assert "/login_0123abcd" in confirmation_text("0123abcd")
    assert read(update(text="/login_0123abcd")) == confirmed


@pytest.mark.parametrize("phone", ["77011234567", "+77011234567"])
def test_an_own_contact_proves_a_phone_with_and_without_a_plus(phone: str) -> None:
    proved = OwnContact(telegram_id=ANNA, phone="+77011234567")

    assert read(contact(phone_number=phone)) == proved


@pytest.mark.parametrize(
    "fields",
    [
        *({"user_id": user} for user in (7, None, str(ANNA), float(ANNA), True)),
        *({"phone_number": text} for text in ("", "no number", "+7 701 123 45 67", "1" * 40)),
        *({"phone_number": number} for number in ("٧٧٠١١٢٣٤٥٦٧", 77011234567)),
    ],
)
def test_any_other_contact_proves_nothing(fields: dict[str, Any]) -> None:
    assert read(contact(**fields)) == ForeignContact(telegram_id=ANNA)


def test_a_contact_without_an_owner_proves_nothing() -> None:
    shared = update(contact={"phone_number": "77011234567", "first_name": "Ева"})

    assert read(shared) == ForeignContact(telegram_id=ANNA)


@pytest.mark.parametrize(
    "sent",
    [
        *(None, [], "text", {}, {"update_id": 1}, {"update_id": 1, "message": None}),
        {"update_id": 1, "edited_message": START},
        {"update_id": 1, "channel_post": START},
        update(text="/start", chat={"id": -100, "type": "group"}),
        update(text="/start", chat={"id": ANNA, "type": "group"}),
        update(text="/start", chat={"id": 7, "type": "private"}),
        *(update(sender=sender, text="/start") for sender in (True, "4242", -1)),
        update(text="/start", **{"from": {"id": ANNA, "is_bot": True}}),
    ],
)
def test_only_a_private_message_of_a_person_is_read(sent: object) -> None:
    assert read(sent) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["update_id", "message", "from", "chat", "id", "contact", "text"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    )
)
def test_nothing_that_is_sent_breaks_the_reading(sent: object) -> None:
    number, command = update_id(sent), read(sent)

    assert number is None or number >= 0
    if not isinstance(command, Shops | ButtonPressed | ConfirmLogin | None):
        assert reply_to(command).text


@pytest.mark.parametrize("number", [True, "1", -1, 1.0, None, 2**63])
def test_what_is_no_number_of_an_update_is_none(number: object) -> None:
    assert update_id({"update_id": number}) is None


@pytest.mark.parametrize("command", [Start, ForeignContact, TypedPhone, LinkStatus])
def test_without_a_proved_phone_the_contact_is_requested(command: Any) -> None:
    assert reply_to(command(telegram_id=ANNA)).keyboard is Keyboard.ASK_CONTACT


def test_the_status_shows_enough_of_the_phone_to_recognise_it() -> None:
    reply = reply_to(LinkStatus(telegram_id=ANNA), linked="+77011234567")

    assert "+7•••4567" in reply.text
    assert "+77011234567" not in reply.text
    assert reply.keyboard is Keyboard.NONE


@pytest.mark.parametrize(("phone", "shown"), [("+77011234567", "+7•••4567"), ("+7701123", "•••")])
def test_most_of_a_phone_is_masked(phone: str, shown: str) -> None:
    assert masked(phone) == shown
