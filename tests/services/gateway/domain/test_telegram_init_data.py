"""Init data is believed only as Telegram signed it."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.telegram_init_data import (
    AHEAD,
    MAX_AGE,
    MAX_LENGTH,
    InitDataForged,
    InitDataMalformed,
    InitDataStale,
    caller_of,
    sign,
)

TOKEN = "123456789:AAF3wq-5Lq0ZzExampleExampleExample0"
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
ANNA = {"id": 4242, "first_name": "Анна", "last_name": "", "username": "anna+%2B&="}
REFUSED = (InitDataForged, InitDataMalformed, InitDataStale)


def fields(**different: str) -> dict[str, str]:
    made = {
        "auth_date": str(int(NOW.timestamp())),
        "query_id": "AAE",
        "start_param": "",
        "user": json.dumps(ANNA, ensure_ascii=False),
    }
    return made | different


def signed(said: dict[str, str], token: str = TOKEN) -> str:
    return urlencode(said | {"hash": sign(said, token)}, quote_via=quote)


def test_the_signature_is_the_one_telegram_prescribes() -> None:
    said = {"auth_date": "1", "user": "{}", "empty": ""}
    key = hmac.new(b"WebAppData", TOKEN.encode(), hashlib.sha256).digest()

    expected = hmac.new(key, b"auth_date=1\nempty=\nuser={}", hashlib.sha256).hexdigest()

    assert sign(said, TOKEN) == expected


def test_the_caller_is_read_once_and_whole() -> None:
    caller = caller_of(signed(fields()), bot_token=TOKEN, now=NOW)

    assert (caller.telegram_id, caller.first_name, caller.last_name) == (4242, "Анна", "")
    assert caller.username == "anna+%2B&="
    assert caller.auth_date == NOW
    assert caller.fingerprint == sign(fields(), TOKEN)


def test_a_blank_field_is_signed_too() -> None:
    without = signed({name: value for name, value in fields().items() if value})

    with pytest.raises(InitDataForged):
        caller_of(f"{without}&start_param=", bot_token=TOKEN, now=NOW)


def test_another_bot_cannot_sign() -> None:
    with pytest.raises(InitDataForged):
        caller_of(signed(fields(), "987654321:other"), bot_token=TOKEN, now=NOW)


def test_without_a_token_nothing_is_believed() -> None:
    with pytest.raises(ValueError, match="empty token"):
        caller_of(signed(fields()), bot_token="", now=NOW)


@pytest.mark.parametrize(
    ("moved", "good"),
    [
        (MAX_AGE, True),
        (MAX_AGE + timedelta(seconds=1), False),
        (-AHEAD, True),
        (-AHEAD - timedelta(seconds=1), False),
    ],
)
def test_it_is_good_for_a_day_and_never_before_its_time(moved: timedelta, *, good: bool) -> None:
    if good:
        caller = caller_of(signed(fields()), bot_token=TOKEN, now=NOW + moved)
        assert caller.auth_date == NOW
    else:
        with pytest.raises(InitDataStale):
            caller_of(signed(fields()), bot_token=TOKEN, now=NOW + moved)


@pytest.mark.parametrize(
    "user",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        '{"id":"4242"}',
        '{"id":true}',
        '{"id":0}',
        '{"id":-1}',
        '{"id":1e3}',
        '{"id":99999999999999999999}',
        "%7B%22id%22%3A4242%7D",
        "[" * 5000,
    ],
)
def test_a_user_that_is_none_is_refused_though_it_is_signed(user: str) -> None:
    with pytest.raises(InitDataMalformed):
        caller_of(signed(fields(user=user)), bot_token=TOKEN, now=NOW)


@pytest.mark.parametrize("said", ["", "now", "-1", "1.5", "١٢٣", "99999999999", "9" * 30])
def test_a_date_that_is_none_is_refused_though_it_is_signed(said: str) -> None:
    with pytest.raises((InitDataMalformed, InitDataStale)):
        caller_of(signed(fields(auth_date=said)), bot_token=TOKEN, now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hash",
        "hash=",
        "a=1&a=2",
        "&".join(f"f{n}=1" for n in range(100)),
        "a=%ff",
        "a=\ud800",
        "x" * (MAX_LENGTH + 1),
        signed(fields()) + "&user=%7B%7D",
        "user=%7B%7D&" + signed(fields()),
        signed(fields()).replace("hash=", "Hash="),
        signed(fields()).upper(),
    ],
)
def test_what_telegram_does_not_make_is_refused(text: str) -> None:
    with pytest.raises((InitDataMalformed, InitDataForged)):
        caller_of(text, bot_token=TOKEN, now=NOW)


GOOD = signed(fields())


def meant(text: str) -> list[tuple[str, str]]:
    """What two spellings of the same have in common."""
    try:
        return sorted(parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict"))
    except ValueError:
        return []


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
def test_any_change_of_any_byte_is_refused(at: int, byte: int) -> None:
    changed = GOOD[:at] + chr(byte) + GOOD[at + 1 :]
    if meant(changed) == meant(GOOD):
        # `%2f` for `%2F`: the same data in another spelling, which nobody signs.
        assert caller_of(changed, bot_token=TOKEN, now=NOW).telegram_id == 4242
    else:
        with pytest.raises(REFUSED):
            caller_of(changed, bot_token=TOKEN, now=NOW)


@pytest.mark.parametrize("at", range(64))
def test_every_digit_of_the_signature_counts(at: int) -> None:
    text, _, signature = GOOD.rpartition("=")
    other = "0" if signature[at] != "0" else "1"

    with pytest.raises(InitDataForged):
        caller_of(f"{text}={signature[:at]}{other}{signature[at + 1 :]}", bot_token=TOKEN, now=NOW)


@given(at=st.integers(0, len(GOOD) - 1), more=st.text(max_size=3), gone=st.integers(0, 3))
def test_whatever_is_put_in_or_left_out_is_refused(at: int, more: str, gone: int) -> None:
    changed = GOOD[:at] + more + GOOD[at + gone :]
    if meant(changed) != meant(GOOD):
        with pytest.raises(REFUSED):
            caller_of(changed, bot_token=TOKEN, now=NOW)


@given(st.text(max_size=200))
def test_nonsense_is_refused_and_never_breaks_anything(text: str) -> None:
    with pytest.raises(REFUSED):
        caller_of(text, bot_token=TOKEN, now=NOW)


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=8))
def test_whatever_telegram_adds_is_signed_with_the_rest(more: dict[str, str]) -> None:
    said = more | fields()
    said.pop("hash", None)

    assert caller_of(signed(said), bot_token=TOKEN, now=NOW).telegram_id == 4242
