"""The rules of device grants and of one-time codes."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway import AccountId
from services.gateway.accounts.domain.device_client import CLIENTS
from services.gateway.accounts.domain.realm import PLATFORM, SCOPES, Realm, Workspace, scopes_of
from services.gateway.device_grants.domain.grant import (
    ALPHABET,
    LIFETIME,
    MAX_LABEL,
    Grant,
    GrantStatus,
    Verdict,
    display_code,
    new_user_code,
    read_code,
    tidy_label,
    verdict_of,
)
from services.gateway.doors.domain.network import network_of
from services.gateway.telegram.domain.one_time_code import (
    CONFIRMATIONS,
    DAILY_OF_KNOWN,
    DAILY_OF_STRANGERS,
    TRIES,
    DeliveryMethod,
    delivery_method_for,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KIOSK, BRIDGE = CLIENTS["tillstream-kiosk"], CLIENTS["tillstream-bridge"]
GRANT = Grant(
    device_digest="d",
    user_code_digest="s",
    client_id=KIOSK.client_id,
    account_id=AccountId(UUID(int=1)),
    sealed="",
    status=GrantStatus.WAITING,
    tenant=None,
    pause=5,
    polled_at=None,
    expires_at=NOW + LIFETIME,
)
APPROVED: dict[str, Any] = {"status": GrantStatus.APPROVED, "tenant": "demo"}


def seconds_ago(seconds: int) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.PENDING),
        ({"status": GrantStatus.ANSWERING}, Verdict.PENDING),
        (APPROVED, Verdict.IN),
        (APPROVED | {"expires_at": NOW}, Verdict.EXPIRED),
        (APPROVED | {"polled_at": NOW}, Verdict.IN),
        ({"status": GrantStatus.DENIED}, Verdict.DENIED),
        ({"status": GrantStatus.USED}, Verdict.WORTHLESS),
        ({"expires_at": NOW}, Verdict.EXPIRED),
        ({"client_id": BRIDGE.client_id}, Verdict.WORTHLESS),
        ({"polled_at": seconds_ago(3)}, Verdict.SLOW_DOWN),
        ({"polled_at": seconds_ago(4)}, Verdict.PENDING),
        ({"polled_at": seconds_ago(8), "pause": 10}, Verdict.SLOW_DOWN),
    ],
)
def test_a_poll_is_answered_by_the_grant(changes: dict[str, Any], verdict: Verdict) -> None:
    assert verdict_of(replace(GRANT, **changes), KIOSK.client_id, NOW) is verdict


def test_a_code_that_was_never_given_is_worth_nothing() -> None:
    assert verdict_of(None, KIOSK.client_id, NOW) is Verdict.WORTHLESS


@given(st.integers())
def test_a_code_is_read_however_it_is_typed(seed: int) -> None:
    code = new_user_code(random.Random(seed).choice)

    assert read_code(code) == code
    assert read_code(display_code(code)) == code
    assert read_code(f"  {display_code(code).lower().replace('-', ' – ')} ") == code


def test_no_letter_of_the_alphabet_looks_like_another() -> None:
    assert not set(ALPHABET) & set("AEIOUY0123456789")
    assert len(set(ALPHABET)) == len(ALPHABET) == 20


@pytest.mark.parametrize(
    "text", ["", "BCDF", "BCDF-GHJKL", "BCDF-GHJA", "BCDFGHJ1", "BCDFGHJK" * 99, "ВСDF-GHJK", "\0"]
)
def test_what_is_no_code_is_none(text: str) -> None:
    assert read_code(text) is None


@given(st.text())
def test_a_device_cannot_disguise_its_name(text: str) -> None:
    label = tidy_label(text)

    assert len(label) <= MAX_LABEL
    assert label.isprintable()
    assert label == tidy_label(label)


def test_a_name_written_backwards_is_read_forwards() -> None:
    assert tidy_label(" Hall\u202e \n\t 1\u200b ") == "Hall 1"


def test_each_client_has_a_role_and_a_role_that_manages_it() -> None:
    for client in CLIENTS.values():
        assert client.scopes
        assert any(client.managed_by in scopes for scopes in SCOPES.values())


@pytest.mark.parametrize(
    ("client", "realm", "role", "tenant", "may"),
    [
        (KIOSK, "kiosk", "admin", "demo", True),
        (KIOSK, "kiosk", "superadmin", "demo", True),
        (KIOSK, "kiosk", "admin", "other", False),
        (KIOSK, "kiosk", "staff", "demo", False),
        (KIOSK, "kiosk", "kiosk", "demo", False),
        (KIOSK, "scales", "user", "demo", False),
        (BRIDGE, "scales", "user", "demo", True),
        (BRIDGE, "scales", "bridge", "demo", False),
        (BRIDGE, "kiosk", "superadmin", "demo", False),
        (BRIDGE, "crm", "ADMIN", "demo", False),
    ],
)
def test_devices_are_managed_by_scope_and_workspace(
    client: Any, realm: str, role: str, tenant: str, *, may: bool
) -> None:
    assert client.is_managed_in(Workspace(realm, "demo"), scopes_of(realm, role), tenant) is may


def test_the_platforms_administrators_manage_all_but_in_the_platforms_own_name() -> None:
    harness, scopes = Workspace(Realm.PLATFORM, PLATFORM), scopes_of("platform", "superadmin")

    for client in CLIENTS.values():
        assert client.is_managed_in(harness, scopes, "anybody")
        assert not client.is_managed_in(harness, scopes, PLATFORM)
        assert not client.is_managed_in(harness, frozenset(), "anybody")


@pytest.mark.parametrize(
    ("has_bot", "has_chat", "is_known", "is_demo", "way"),
    [
        (True, True, True, False, DeliveryMethod.TELEGRAM),
        (True, True, False, False, DeliveryMethod.TELEGRAM),
        (True, True, True, True, DeliveryMethod.TELEGRAM),
        (True, False, True, False, DeliveryMethod.REGISTER),
        (True, False, False, False, DeliveryMethod.REGISTER),
        (True, False, False, True, DeliveryMethod.REGISTER),
        (True, False, True, True, DeliveryMethod.DISPLAYED),
        (False, True, True, False, DeliveryMethod.NONE),
        (False, False, False, False, DeliveryMethod.NONE),
        (False, False, False, True, DeliveryMethod.DISPLAYED),
        (False, True, True, True, DeliveryMethod.DISPLAYED),
    ],
)
def test_a_code_is_displayed_in_the_demo_only(
    *, has_bot: bool, has_chat: bool, is_known: bool, is_demo: bool, way: DeliveryMethod
) -> None:
    found = delivery_method_for(
        has_bot=has_bot, has_chat=has_chat, is_known=is_known, is_demo=is_demo
    )

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
def test_one_customer_of_the_net_is_one_network(one: str, other: str, *, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_in_a_day_which_touches_two_windows_a_phone_is_guessed_less_than_a_hundred_times() -> None:
    confirmed = CONFIRMATIONS.quota * TRIES

    assert 2 * (DAILY_OF_STRANGERS.quota + DAILY_OF_KNOWN.quota + confirmed) < 100
