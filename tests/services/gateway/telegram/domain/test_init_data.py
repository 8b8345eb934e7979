"""Init data is believed only as Telegram signed it."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.telegram.domain.init_data import (
    AHEAD,
    MAX_AGE,
    MAX_LENGTH,
    InitDataForged,
    InitDataMalformed,
    InitDataStale,
    TelegramCaller,
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


def signed(data: dict[str, str], token: str = TOKEN) -> str:
    return urlencode(data | {"hash": sign(data, token)}, quote_via=quote)


GOOD = signed(fields())


def read(text: str, now: datetime = NOW, bot_token: str = TOKEN) -> TelegramCaller:
    return caller_of(text, bot_token=bot_token, now=now)


def test_the_signature_is_the_one_telegram_prescribes() -> None:
    data = {"auth_date": "1", "user": "{}", "empty": ""}
    key = hmac.new(b"WebAppData", TOKEN.encode(), hashlib.sha256).digest()

    expected = hmac.new(key, b"auth_date=1\nempty=\nuser={}", hashlib.sha256).hexdigest()

    assert sign(data, TOKEN) == expected


def test_the_caller_is_read_once_and_whole() -> None:
    caller = read(signed(fields()))

    assert (caller.telegram_id, caller.first_name, caller.last_name) == (4242, "Анна", "")
    assert caller.username == "anna+%2B&="
    assert caller.auth_date == NOW
    assert caller.fingerprint == sign(fields(), TOKEN)


def test_a_blank_field_is_signed_too_and_another_bot_cannot_sign() -> None:
    without = signed({name: value for name, value in fields().items() if value})

    for forged in (f"{without}&start_param=", signed(fields(), "987654321:other")):
        with pytest.raises(InitDataForged):
            read(forged)


def test_without_a_token_nothing_is_believed() -> None:
    with pytest.raises(ValueError, match="empty token"):
        read(GOOD, bot_token="")


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("moved", "good"),
    [(MAX_AGE, True), (MAX_AGE + SECOND, False), (-AHEAD, True), (-AHEAD - SECOND, False)],
    ids=["a day later", "too late", "slightly early", "too early"],
)
def test_init_data_is_valid_for_a_day_and_not_before_its_time(
    moved: timedelta, *, good: bool
) -> None:
    if good:
        assert read(GOOD, NOW + moved).auth_date == NOW
    else:
        with pytest.raises(InitDataStale):
            read(GOOD, NOW + moved)


@pytest.mark.parametrize(
    "user",
    [
        *("", "null", "[]", "{}", "{", "%7B%22id%22%3A4242%7D", "[" * 5000),
        *('{"id":"4242"}', '{"id":true}', '{"id":0}', '{"id":-1}', '{"id":1e3}'),
        '{"id":99999999999999999999}',
    ],
)
def test_what_is_no_user_is_refused_though_it_is_signed(user: str) -> None:
    with pytest.raises(InitDataMalformed):
        read(signed(fields(user=user)))


@pytest.mark.parametrize("date", ["", "now", "-1", "1.5", "١٢٣", "99999999999", "9" * 30])
def test_what_is_no_date_is_refused_though_it_is_signed(date: str) -> None:
    with pytest.raises((InitDataMalformed, InitDataStale)):
        read(signed(fields(auth_date=date)))


@pytest.mark.parametrize(
    "text",
    [
        *("", "hash", "hash=", "a=1&a=2", "a=%ff", "a=\ud800", "x" * (MAX_LENGTH + 1)),
        "&".join(f"f{n}=1" for n in range(100)),
        *(GOOD + "&user=%7B%7D", "user=%7B%7D&" + GOOD),
        *(GOOD.replace("hash=", "Hash="), GOOD.upper()),
    ],
)
def test_what_telegram_does_not_make_is_refused(text: str) -> None:
    with pytest.raises((InitDataMalformed, InitDataForged)):
        read(text)


def meant(text: str) -> list[tuple[str, str]]:
    """What two spellings of the same have in common."""
    try:
        return sorted(parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict"))
    except ValueError:
        return []


BYTES = st.integers(0, 255).map(chr)


@given(at=st.integers(0, len(GOOD) - 1), more=BYTES | st.text(max_size=3), gone=st.integers(0, 3))
def test_whatever_is_changed_put_in_or_left_out_is_refused(at: int, more: str, gone: int) -> None:
    changed = GOOD[:at] + more + GOOD[at + gone :]
    if meant(changed) == meant(GOOD):
        # `%2f` for `%2F`: the same data in another spelling, which nobody signs.
        assert read(changed).telegram_id == 4242
    else:
        with pytest.raises(REFUSED):
            read(changed)


@pytest.mark.parametrize("at", range(64))
def test_every_digit_of_the_signature_counts(at: int) -> None:
    text, _, signature = GOOD.rpartition("=")
    other = "0" if signature[at] != "0" else "1"

    with pytest.raises(InitDataForged):
        read(f"{text}={signature[:at]}{other}{signature[at + 1 :]}")


@given(st.text(max_size=200))
def test_nonsense_is_refused_and_never_breaks_anything(text: str) -> None:
    with pytest.raises(REFUSED):
        read(text)


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=8))
def test_whatever_telegram_adds_is_signed_with_the_rest(more: dict[str, str]) -> None:
    data = more | fields()
    data.pop("hash", None)

    assert read(signed(data)).telegram_id == 4242
