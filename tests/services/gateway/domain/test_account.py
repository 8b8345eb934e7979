"""The rules of an account."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from contracts.gateway import (
    AccountActivated,
    AccountDeactivated,
    AccountId,
    AccountOpened,
    AccountRemoved,
    PasswordSet,
    PersonChanged,
    RoleGranted,
    RoleWithdrawn,
)
from libs.eventsourcing.testing import Scenario
from services.gateway.domain.account import (
    ACCOUNT,
    AccountExists,
    AccountUnknown,
    LastSuperadmin,
    PasswordUnfit,
    check_password,
)
from services.gateway.domain.account_commands import (
    AccountCommand,
    Activate,
    ChangePerson,
    Deactivate,
    GrantRole,
    OpenAccount,
    Remove,
    SetPassword,
    WithdrawRole,
)
from services.gateway.domain.realm import Place, Role, RoleUnknown

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 2, tzinfo=UTC)
ID = AccountId(UUID(int=1))
SHOP, KIOSK = Place("shop", "demo"), Place("kiosk", "demo")
ALONE, NOT_ALONE = {KIOSK: 0}, {KIOSK: 1}

open_it = OpenAccount(
    account_id=ID,
    number=7,
    person="who",
    password="hash",
    roles=(Role(SHOP, "florist"),),
    now=NOW,
)
opened = AccountOpened(account_id=ID, number=7, sealed="who", opened_at=NOW)
password_set = PasswordSet(account_id=ID, sealed="hash", set_at=NOW)
florist = RoleGranted(account_id=ID, realm="shop", tenant="demo", role="florist", granted_at=NOW)
superadmin = RoleGranted(
    account_id=ID, realm="kiosk", tenant="demo", role="superadmin", granted_at=NOW
)
grant = GrantRole(account_id=ID, role=Role(SHOP, "florist"), others={}, now=NOW)
demote = GrantRole(account_id=ID, role=Role(KIOSK, "staff"), others=ALONE, now=NOW)
withdraw = WithdrawRole(account_id=ID, place=KIOSK, others=ALONE, now=NOW)
deactivate = Deactivate(account_id=ID, reason="holidays", others=ALONE, now=NOW)
deactivated = AccountDeactivated(account_id=ID, reason="holidays", deactivated_at=NOW)
activate = Activate(account_id=ID, now=NOW)
remove = Remove(account_id=ID, others=ALONE, now=NOW)
removed = AccountRemoved(account_id=ID, removed_at=NOW)
change = ChangePerson(account_id=ID, person="else", now=LATER)
set_password = SetPassword(account_id=ID, password="another", set_at=LATER)

account = Scenario(ACCOUNT)
known = account.given(opened)
chief = account.given(opened, superadmin)


def test_an_account_opens_with_password_and_roles_at_once() -> None:
    account.given().when(open_it).then(opened, password_set, florist)


def test_an_account_may_open_without_password_or_role() -> None:
    account.given().when(replace(open_it, password=None, roles=())).then(opened)


def test_an_account_may_be_inactive_from_the_start() -> None:
    bare = replace(open_it, password=None, roles=(), active=False)

    account.given().when(bare).then(
        opened, AccountDeactivated(account_id=ID, reason="from the start", deactivated_at=NOW)
    )


def test_an_account_opens_once() -> None:
    known.when(open_it).then_refused(AccountExists)


def test_an_account_cannot_open_with_a_role_that_does_not_exist() -> None:
    bad = replace(open_it, roles=(Role(SHOP, "emperor"),))

    account.given().when(bad).then_refused(RoleUnknown)


def test_the_person_can_change() -> None:
    known.when(change).then(PersonChanged(account_id=ID, sealed="else", changed_at=LATER))


def test_the_password_can_change() -> None:
    known.when(set_password).then(PasswordSet(account_id=ID, sealed="another", set_at=LATER))


def test_a_role_can_be_granted() -> None:
    known.when(grant).then(florist)


def test_granting_the_same_role_again_changes_nothing() -> None:
    known.given(florist).when(replace(grant, now=LATER)).then_nothing()


def test_a_role_of_another_realm_cannot_be_granted() -> None:
    known.when(replace(grant, role=Role(SHOP, "ENGINEER"))).then_refused(RoleUnknown)


def test_another_role_in_the_same_place_takes_the_place_of_the_first() -> None:
    told = replace(florist, role="courier")

    state = ACCOUNT.state_after([opened, florist, told])

    assert state.roles == {SHOP: "courier"}


def test_a_role_can_be_withdrawn() -> None:
    place = replace(withdraw, place=SHOP)
    gone = RoleWithdrawn(account_id=ID, realm="shop", tenant="demo", withdrawn_at=NOW)

    known.given(florist).when(place).then(gone)
    known.given(florist, gone).when(place).then_nothing()


def test_a_role_elsewhere_stays_when_one_is_withdrawn() -> None:
    gone = RoleWithdrawn(account_id=ID, realm="shop", tenant="demo", withdrawn_at=NOW)

    assert ACCOUNT.state_after([opened, superadmin, florist, gone]).roles == {KIOSK: "superadmin"}


def test_an_account_can_be_taken_out_and_let_in_again() -> None:
    known.when(deactivate).then(deactivated)
    known.given(deactivated).when(deactivate).then_nothing()
    known.given(deactivated).when(activate).then(AccountActivated(account_id=ID, activated_at=NOW))
    known.when(activate).then_nothing()


@pytest.mark.parametrize("command", [demote, withdraw, deactivate, remove])
def test_the_last_superadmin_stays(command: AccountCommand) -> None:
    chief.when(command).then_refused(LastSuperadmin)


@pytest.mark.parametrize(("realm", "role"), [("crm", "ADMIN"), ("platform", "superadmin")])
def test_so_does_the_last_of_their_kind_in_other_realms(realm: str, role: str) -> None:
    place = Place(realm, "demo")
    told = RoleGranted(account_id=ID, realm=realm, tenant="demo", role=role, granted_at=NOW)
    last = known.given(told)

    last.when(replace(remove, others={place: 0})).then_refused(LastSuperadmin)
    last.when(replace(remove, others={place: 1})).then(removed)


def test_who_says_nothing_of_others_means_that_there_are_none() -> None:
    chief.when(replace(remove, others={})).then_refused(LastSuperadmin)


def test_a_superadmin_who_is_not_the_last_may_go() -> None:
    chief.when(replace(remove, others=NOT_ALONE)).then(removed)
    chief.when(replace(deactivate, others=NOT_ALONE)).then(deactivated)
    chief.when(replace(demote, others=NOT_ALONE)).then(replace(superadmin, role="staff"))


def test_a_superadmin_of_another_tenant_does_not_count() -> None:
    elsewhere = {Place("kiosk", "other"): 5}

    chief.when(replace(remove, others=elsewhere)).then_refused(LastSuperadmin)


def test_an_inactive_superadmin_was_not_the_last_and_may_go() -> None:
    chief.given(deactivated).when(remove).then(removed)


def test_another_role_of_the_last_superadmin_may_go() -> None:
    gone = RoleWithdrawn(account_id=ID, realm="shop", tenant="demo", withdrawn_at=NOW)

    chief.given(florist).when(replace(withdraw, place=SHOP)).then(gone)


@pytest.mark.parametrize(
    "command", [change, set_password, grant, demote, withdraw, deactivate, activate]
)
def test_what_is_removed_is_gone_for_good(command: AccountCommand) -> None:
    known.given(removed).when(command).then_refused(AccountUnknown)


def test_removing_twice_changes_nothing_and_opening_again_is_refused() -> None:
    known.given(removed).when(remove).then_nothing()
    known.given(removed).when(open_it).then_refused(AccountExists)


@pytest.mark.parametrize("command", [change, set_password, grant, deactivate, activate, remove])
def test_an_account_nobody_opened_cannot_be_changed(command: AccountCommand) -> None:
    account.given().when(command).then_refused(AccountUnknown)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129])
def test_a_password_has_neither_too_few_nor_too_many_characters(password: str) -> None:
    with pytest.raises(PasswordUnfit):
        check_password(password)


def test_a_password_of_eight_characters_is_enough() -> None:
    check_password("12345678")
    check_password("п" * 128)
