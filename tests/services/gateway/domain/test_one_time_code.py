"""The rules of one-time codes."""

from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.domain.one_time_code import (
    Way,
    is_code,
    neighbourhood,
    too_many,
    way_for,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("has_bot", "has_chat", "is_known", "is_demo", "way"),
    [
        (True, True, True, False, Way.TELEGRAM),
        (True, True, False, False, Way.TELEGRAM),
        (True, True, True, True, Way.TELEGRAM),
        (True, False, True, False, Way.REGISTER),
        (True, False, False, False, Way.REGISTER),
        (True, False, False, True, Way.REGISTER),
        (True, False, True, True, Way.SHOWN),
        (False, True, True, False, Way.NONE),
        (False, False, False, False, Way.NONE),
        (False, False, False, True, Way.SHOWN),
        (False, True, True, True, Way.SHOWN),
    ],
)
def test_a_code_is_shown_in_the_demo_only(
    *, has_bot: bool, has_chat: bool, is_known: bool, is_demo: bool, way: Way
) -> None:
    found = way_for(has_bot=has_bot, has_chat=has_chat, is_known=is_known, is_demo=is_demo)

    assert found is way


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "testclient", False),
    ],
)
def test_one_customer_of_the_net_is_one_neighbourhood(one: str, other: str, *, same: bool) -> None:
    assert (neighbourhood(one) == neighbourhood(other)) is same


@pytest.mark.parametrize("text", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "12345\n", "-12345"])
def test_a_code_has_six_plain_digits(text: str) -> None:
    assert is_code("012345")
    assert not is_code(text)


def test_a_refusal_for_too_many_tries_says_when_to_come_back() -> None:
    assert too_many(NOW + timedelta(seconds=1.2), NOW).retry_after == 2
    assert too_many(NOW, NOW).retry_after == 1
