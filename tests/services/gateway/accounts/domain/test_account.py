"""The rules of an account, and when two of its addresses are the same."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway import (
    AccountActivated,
    AccountDeactivated,
    AccountId,
    AccountOpened,
    AccountRemoved,
    GatewayEvent,
    PasswordSet,
    PersonChanged,
    RoleGranted,
    RoleOffered,
    RoleOfferEnded,
    RoleWithdrawn,
)
from libs.testing.decisions import NOTHING, Outcome, assert_decides, decisions
from services.gateway.accounts.domain.account import (
    ACCOUNT,
    MOST_OFFERS,
    AccountExists,
    AccountUnknown,
    ActsThere,
    LastSuperadmin,
    OfferedTooOften,
    OfferUnknown,
    PasswordUnfit,
    check_password,
)
from services.gateway.accounts.domain.commands import (
    AcceptOffer,
    Activate,
    ChangePerson,
    Deactivate,
    DeclineOffer,
    GrantRole,
    OfferRole,
    OpenAccount,
    Remove,
    SetPassword,
    WithdrawRole,
)
from services.gateway.accounts.domain.person import (
    Address,
    BadAddress,
    Kind,
    Person,
    addresses_of,
    email,
    phone,
    telegram,
    tidy,
    username,
)
from services.gateway.accounts.domain.realm import Role, RoleUnknown, Workspace

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 2, tzinfo=UTC)
ID = AccountId(UUID(int=1))
SHOP, KIOSK = Workspace("shop", "demo"), Workspace("kiosk", "demo")
ALONE, NOT_ALONE = {KIOSK: 0}, {KIOSK: 1}


def granted(workspace: Workspace, role: str) -> RoleGranted:
    return RoleGranted(
        account_id=ID, realm=workspace.realm, tenant=workspace.tenant, role=role, granted_at=NOW
    )


open_it = OpenAccount(
    account_id=ID, number=7, person="who", password="hash", roles=(Role(SHOP, "florist"),), now=NOW
)
bare = replace(open_it, password=None, roles=())
account_opened = AccountOpened(account_id=ID, number=7, sealed="who", opened_at=NOW)
password_set = PasswordSet(account_id=ID, sealed="hash", set_at=NOW)
another_password = replace(password_set, sealed="another", set_at=LATER)
florist, superadmin = granted(SHOP, "florist"), granted(KIOSK, "superadmin")
staff = granted(KIOSK, "staff")
grant = GrantRole(account_id=ID, role=Role(SHOP, "florist"), others={}, now=NOW)
demote = GrantRole(account_id=ID, role=Role(KIOSK, "staff"), others=ALONE, now=NOW)
withdraw = WithdrawRole(account_id=ID, workspace=KIOSK, others=ALONE, now=NOW)
withdrawn = RoleWithdrawn(account_id=ID, realm="shop", tenant="demo", withdrawn_at=NOW)
deactivate = Deactivate(account_id=ID, reason="holidays", others=ALONE, now=NOW)
deactivated = AccountDeactivated(account_id=ID, reason="holidays", deactivated_at=NOW)
never_active = replace(deactivated, reason="from the start")
activate = Activate(account_id=ID, now=NOW)
activated = AccountActivated(account_id=ID, activated_at=NOW)
remove = Remove(account_id=ID, others=ALONE, now=NOW)
remove_elsewhere = replace(remove, others={Workspace("kiosk", "other"): 5})
removed = AccountRemoved(account_id=ID, removed_at=NOW)
change = ChangePerson(account_id=ID, person="else", now=LATER)
changed = PersonChanged(account_id=ID, sealed="else", changed_at=LATER)
set_password = SetPassword(account_id=ID, password="another", set_at=LATER)

CHANGES = (change, set_password, grant, withdraw, deactivate, activate)


@decisions(
    ("opens with password and roles", [], open_it, [account_opened, password_set, florist]),
    ("opens without either", [], bare, [account_opened]),
    ("opens inactive", [], replace(bare, active=False), [account_opened, never_active]),
    ("opens once", [account_opened], open_it, AccountExists),
    ("no such role", [], replace(open_it, roles=(Role(SHOP, "emperor"),)), RoleUnknown),
    ("another person", [account_opened], change, [changed]),
    ("another password", [account_opened], set_password, [another_password]),
    ("a role", [account_opened], grant, [florist]),
    ("the same role", [account_opened, florist], replace(grant, now=LATER), NOTHING),
    (
        "a role of elsewhere",
        [account_opened],
        replace(grant, role=Role(SHOP, "ENGINEER")),
        RoleUnknown,
    ),
    ("no role", [account_opened, florist], replace(withdraw, workspace=SHOP), [withdrawn]),
    (
        "no role again",
        [account_opened, florist, withdrawn],
        replace(withdraw, workspace=SHOP),
        NOTHING,
    ),
    ("out", [account_opened], deactivate, [deactivated]),
    ("out again", [account_opened, deactivated], deactivate, NOTHING),
    ("in again", [account_opened, deactivated], activate, [activated]),
    ("in twice", [account_opened], activate, NOTHING),
    ("removed again", [account_opened, removed], remove, NOTHING),
    ("removed, opens", [account_opened, removed], open_it, AccountExists),
    *(
        (f"removed, {type(one).__name__}", [account_opened, removed], one, AccountUnknown)
        for one in CHANGES
    ),
    *((f"unknown, {type(one).__name__}", [], one, AccountUnknown) for one in (*CHANGES, remove)),
)
def test_accounts_decide(history: Sequence[GatewayEvent], command: Any, outcome: Outcome) -> None:
    assert_decides(ACCOUNT, history, command, outcome)


@decisions(
    *(
        (f"the last stays, {type(one).__name__}", [superadmin], one, LastSuperadmin)
        for one in (demote, withdraw, deactivate, remove)
    ),
    ("no others named are none", [superadmin], replace(remove, others={}), LastSuperadmin),
    ("not the last, removed", [superadmin], replace(remove, others=NOT_ALONE), [removed]),
    ("not the last, out", [superadmin], replace(deactivate, others=NOT_ALONE), [deactivated]),
    ("not the last, demoted", [superadmin], replace(demote, others=NOT_ALONE), [staff]),
    ("those elsewhere do not count", [superadmin], remove_elsewhere, LastSuperadmin),
    ("an inactive one was not the last", [superadmin, deactivated], remove, [removed]),
    (
        "another role of the last",
        [superadmin, florist],
        replace(withdraw, workspace=SHOP),
        [withdrawn],
    ),
)
def test_the_last_superadmin_of_a_workspace_stays(
    history: Sequence[GatewayEvent], command: Any, outcome: Outcome
) -> None:
    assert_decides(ACCOUNT, [account_opened, *history], command, outcome)


@pytest.mark.parametrize(("realm", "role"), [("crm", "ADMIN"), ("platform", "superadmin")])
def test_so_does_the_last_of_their_kind_in_other_realms(realm: str, role: str) -> None:
    workspace = Workspace(realm, "demo")
    history = [account_opened, granted(workspace, role)]

    assert_decides(ACCOUNT, history, replace(remove, others={workspace: 0}), LastSuperadmin)
    assert_decides(ACCOUNT, history, replace(remove, others={workspace: 1}), [removed])


offer = OfferRole(account_id=ID, role=Role(SHOP, "florist"), number=42, sealed="card", now=NOW)
offered = RoleOffered(
    account_id=ID,
    realm=SHOP.realm,
    tenant=SHOP.tenant,
    role="florist",
    number=42,
    sealed="card",
    offered_at=NOW,
)
accept = AcceptOffer(account_id=ID, workspace=SHOP, person="with card", now=LATER)
decline = DeclineOffer(account_id=ID, workspace=SHOP, now=LATER)
ended = RoleOfferEnded(account_id=ID, realm=SHOP.realm, tenant=SHOP.tenant, ended_at=LATER)
with_card = PersonChanged(account_id=ID, sealed="with card", changed_at=LATER)


@decisions(
    ("invited", [], offer, [offered]),
    ("the same again", [offered], offer, NOTHING),
    (
        "as something else, under the same number",
        [offered],
        replace(offer, role=Role(SHOP, "courier"), number=43),
        [replace(offered, role="courier")],
    ),
    ("as nothing there is", [], replace(offer, role=Role(SHOP, "owner")), RoleUnknown),
    ("who works there", [florist], offer, ActsThere),
    ("who left, under the old number", [offered, florist, withdrawn], offer, [offered]),
    ("accepted", [offered], accept, [with_card, replace(florist, granted_at=LATER)]),
    ("too often", [offered, ended] * MOST_OFFERS, offer, OfferedTooOften),
    ("as often as may be", [offered, ended] * (MOST_OFFERS - 1), offer, [offered]),
    ("anew after it was accepted", [*[offered] * 20, florist, withdrawn], offer, [offered]),
    ("accepted without one", [], accept, OfferUnknown),
    ("accepted twice", [offered, florist], accept, OfferUnknown),
    ("accepted after all", [offered, ended], accept, OfferUnknown),
    ("declined", [offered], decline, [ended]),
    ("declined twice", [offered, ended], decline, NOTHING),
)
def test_an_invitation_is_accepted_or_declined_by_the_account(
    history: Sequence[GatewayEvent], command: Any, outcome: Outcome
) -> None:
    assert_decides(ACCOUNT, [account_opened, *history], command, outcome)


def test_an_invitation_is_no_role_and_another_role_no_new_beginning() -> None:
    invited = ACCOUNT.state_after([account_opened, offered])
    courier = replace(florist, role="courier", granted_at=LATER)

    assert (invited.roles, invited.offers[SHOP].role) == ({}, "florist")
    assert ACCOUNT.state_after([account_opened, offered, florist, courier]).joined == {SHOP: NOW}
    assert ACCOUNT.state_after([account_opened, florist, withdrawn, courier]).joined == {
        SHOP: LATER
    }


def test_an_account_has_one_role_in_a_workspace() -> None:
    courier = granted(SHOP, "courier")

    assert ACCOUNT.state_after([account_opened, florist, courier]).roles == {SHOP: "courier"}
    left = ACCOUNT.state_after([account_opened, superadmin, florist, withdrawn]).roles
    assert left == {KIOSK: "superadmin"}


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129], ids=["none", "short", "long"])
def test_a_password_has_eight_to_128_characters(password: str) -> None:
    check_password("12345678")
    check_password("п" * 128)
    with pytest.raises(PasswordUnfit):
        check_password(password)


EMAIL, PHONE = Address(Kind.EMAIL, "anna@example.com"), Address(Kind.PHONE, "+79991234567")
Read = Callable[[str], Address]


@pytest.mark.parametrize(
    ("read", "address", "texts"),
    [
        (email, EMAIL, ["Anna@Example.com", " anna@EXAMPLE.com ", "ANNA@example.com", EMAIL.text]),
        (phone, PHONE, ["8 (999) 123-45-67", "+7 (999) 123-45-67", "79991234567", "+79991234567"]),
        (username, username("kiosk-1"), [" Kiosk-1 "]),
    ],
)
def test_every_spelling_is_the_same_address(read: Read, address: Address, texts: list[str]) -> None:
    assert [read(text) for text in texts] == [address] * len(texts)


def test_an_email_is_the_same_however_its_letters_are_composed() -> None:
    composed = unicodedata.normalize("NFC", "andré@example.com")

    assert email(unicodedata.normalize("NFD", composed)) == email(composed)


def test_a_phone_of_another_country_is_read_as_it_is_dialled_there() -> None:
    assert phone("020 7946 0018", "GB") == Address(Kind.PHONE, "+442079460018")


def test_the_same_text_of_another_kind_is_another_address() -> None:
    assert username("anna@example.com") != email("anna@example.com")


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((email, text) for text in ("", "anna", "anna@", f"{EMAIL.text}\nbcc: eve@example.com")),
        *((phone, text) for text in ("", "12345", "not a phone")),
        *((username, text) for text in ("  ", "a\x00b", "a" * 101)),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(read: Read, text: str) -> None:
    with pytest.raises(BadAddress) as refused:
        read(text)

    assert not text or text not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_telegram_account_has_a_positive_number() -> None:
    assert telegram(7) == Address(Kind.TELEGRAM, "7")
    with pytest.raises(BadAddress):
        telegram(-7)


@given(st.text(max_size=120))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for read in (email, phone, username):
        try:
            address = read(text)
        except BadAddress:
            continue
        assert read(address.text) == address


def test_a_person_is_stored_as_they_wrote_it_with_the_phone_in_e164() -> None:
    written = Person(
        email=" Anna@Example.com", phone="8 (999) 123-45-67", username="", name=" Anna "
    )

    tidied = tidy(written)

    assert tidied == Person(email="Anna@example.com", phone="+79991234567", name="Anna")
    assert tidy(tidied) == tidied


def test_a_person_is_found_by_all_addresses_and_not_by_traits() -> None:
    anna = Person(email="a@example.com", username="anna", traits={"phone": "+79991234567"})

    assert addresses_of(anna) == {email("a@example.com"), username("anna")}
    assert addresses_of(replace(anna, email=None, username=None)) == frozenset()
