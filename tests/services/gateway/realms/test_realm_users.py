"""What holds for users of the crm and of the kiosks alike (spec crm §1.3, §2, kiosk §3.2).

Each rule is tried at both, in the words and codes of their own clients.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from httpx import Response

from libs.testing.visible import awaited_models, writes_without_wait
from services.gateway.accounts.domain.realm import SUPERADMIN, Realm, Role, Workspace
from services.gateway.accounts.handlers.identity import Profile
from services.gateway.administration.handlers.administration import deactivate, grant_role
from services.gateway.bootstrap import SERVICE
from tests.services.gateway.harness import (
    NEW_PASSWORD,
    PASSWORD,
    Harness,
    Member,
    crm_error,
    crm_user,
    harness_on,
    harness_with_worker,
    kiosk_error,
    kiosk_user,
    limit_of,
    some_email,
)

USERS = "/api/v1/users"
Call: TypeAlias = tuple[str, str, Any]


@dataclass(frozen=True)
class Site:
    """How the administrators of a realm manage its users; `lesser` is a role, `other` another."""

    realm: Realm
    chief: str
    lesser: str
    other: dict[str, str]
    create: str
    change: str
    me: str

    def new(self, **more: Any) -> dict[str, Any]:
        """What is sent to make a user."""
        return crm_user(**more) if self is CRM else kiosk_user(**more)

    def refusal(self, answer: Response) -> tuple[int, str]:
        """The status and code of a refusal in the shape of the realm."""
        return crm_error(answer) if self is CRM else kiosk_error(answer)

    def path(self, who: Profile) -> str:
        """The path of a user."""
        return f"{USERS}/{who.account_id if self is CRM else who.number}"

    def routes(self, who: Profile) -> list[Call]:
        """All calls about one user."""
        path, off = self.path(who), {"is_active": False}
        both: list[Call] = [("GET", path, None), (self.change, path, {}), (self.change, path, off)]
        if self is CRM:
            return [*both, ("PATCH", path, {"password": NEW_PASSWORD})]
        return [
            *both,
            ("DELETE", path, None),
            ("PATCH", f"{USERS}/status/{who.person.username}", False),
            ("POST", f"{path}/password", {"new_password": PASSWORD}),
        ]

    async def login(self, harness: Harness, who: Profile, password: str = PASSWORD) -> int:
        """The status of a login."""
        if self is CRM:
            return (await harness.token(str(who.person.email), password)).status_code
        return (await harness.login(str(who.person.username), password)).status_code


ADMINS, AUTH_ME = f"{USERS}/create-admin", "/api/v1/auth/me"
CRM = Site(Realm.CRM, "ADMIN", "ENGINEER", {"role": "SUPERVISOR"}, USERS, "PATCH", f"{USERS}/me")
KIOSK = Site(Realm.KIOSK, SUPERADMIN, "staff", {"role_name": "admin"}, ADMINS, "PUT", AUTH_ME)
SITES = pytest.mark.parametrize("site", [CRM, KIOSK], ids=lambda site: site.realm.value)


@pytest.fixture
async def boss(harness: Harness, site: Site) -> Member:
    """The only administrator."""
    return await harness.member(site.realm, site.chief)


@SITES
async def test_a_created_user_is_in_the_list_at_once(database: str, site: Site) -> None:
    async with harness_with_worker(database) as harness:
        profile = await harness.account(site.realm, site.chief)
        (workspace,) = profile.roles
        _, headers = await harness.log_in(profile, workspace)
        boss = Member(profile, harness.client, headers)
        for _ in range(5):
            made = (await boss.post(site.create, site.new())).json()
            listed = (await boss.get(USERS)).json()
            path = f"{USERS}/{made['id' if site is CRM else 'user_id']}"
            changed = (await boss.ask(site.change, path, {"is_active": False})).json()
            after = (await boss.get(USERS)).json()
            await boss.delete(path)
            final = (await boss.get(USERS)).json()

            assert made in listed
            assert changed["is_active"] is False
            assert changed in after
            # Only the kiosks' users can go.
            assert (changed in final) is (site is CRM)


NOT_AWAITED = ("/api/v1/keys", "/api/auth/request-otp", "/api/telegram/webhook")
"""A new key is waited for by its caller's door; what the others write no list shows."""


async def test_answers_wait_for_read_models_of_the_gateway(harness: Harness) -> None:
    known = {model.name for model in SERVICE.projections(harness.deps.settings)}
    assert awaited_models(harness.app) == known
    assert {path.rstrip("/") for path in writes_without_wait(harness.app)} == {*NOT_AWAITED}


VALIDATION = (422, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("site", "field", "value", "expected"),
    [
        (CRM, "email", "nobody", VALIDATION),
        (CRM, "password", "pw-1234", VALIDATION),
        (CRM, "full_name", "x", VALIDATION),
        (CRM, "role", "EMPEROR", VALIDATION),
        (CRM, "phone", "1" * 21, VALIDATION),
        (CRM, "city_id", "Москва", VALIDATION),
        (CRM, "is_active", None, VALIDATION),
        (KIOSK, "username", "ab", VALIDATION),
        (KIOSK, "password", "pw-1234", VALIDATION),
        (KIOSK, "password", "x" * 101, VALIDATION),
        (KIOSK, "password", "я" * 40, (400, "PASSWORD_TOO_LONG")),
        (KIOSK, "email", "nobody", VALIDATION),
        (KIOSK, "phone", "1" * 51, VALIDATION),
    ],
)
async def test_what_cannot_be_a_user_is_refused(
    boss: Member, site: Site, field: str, value: Any, expected: tuple[int, str]
) -> None:
    answer = await boss.post(site.create, site.new(**{field: value}))

    assert site.refusal(answer) == expected
    if site is CRM:  # by field, and never as a list
        assert answer.json()["error"]["details"]["fields"].keys() == {field}


@pytest.mark.parametrize(
    ("site", "field", "code"),
    [
        (CRM, "email", (422, "VALIDATION_ERROR")),
        (KIOSK, "username", (409, "USERNAME_TAKEN")),
        (KIOSK, "email", (409, "EMAIL_TAKEN")),
    ],
)
async def test_a_name_or_address_is_one_users_however_it_is_written(
    boss: Member, site: Site, field: str, code: tuple[int, str]
) -> None:
    first = site.new(email=some_email())
    await boss.post(site.create, first)

    again = await boss.post(site.create, site.new(**{field: first[field].upper()}))

    assert site.refusal(again) == code
    if site is CRM:
        message = f"User with email {first['email'].lower()} already exists"
        error = {"code": code[1], "message": message, "details": {"fields": {}}}
        assert again.json() == {"error": error}


@pytest.mark.parametrize("strangers", [Realm.CRM, Realm.KIOSK])
@SITES
async def test_users_of_another_tenant_or_realm_are_not_there(
    harness: Harness, boss: Member, site: Site, strangers: Realm
) -> None:
    theirs = CRM if strangers is Realm.CRM else KIOSK
    role = "SUPERVISOR" if theirs is CRM else theirs.chief
    stranger = await harness.member(strangers, role, "other" if theirs is site else None)

    answers = [await boss.ask(*asked) for asked in site.routes(stranger.profile)]
    lists = [await boss.get(f"{USERS}/")]
    if site is CRM:
        lists.append(await boss.get(f"{USERS}/supervisors"))
        told = f"User not found: {stranger.profile.account_id}"
        assert {one.json()["error"]["message"] for one in answers} == {told}

    key, missing = ("id", "NOT_FOUND") if site is CRM else ("user_id", "USER_NOT_FOUND")
    assert {site.refusal(one) for one in answers} == {(404, missing)}
    everybody = [one[key] for answer in lists for one in answer.json()]
    assert [f"{USERS}/{key}" for key in everybody] == [site.path(boss.profile)]
    assert (await stranger.get(theirs.me)).json()["is_active"] is True


@pytest.mark.parametrize(
    ("site", "role"),
    [
        *((CRM, role) for role in ("SUPERVISOR", "ENGINEER")),
        *((KIOSK, role) for role in ("admin", "staff", "customer", "externalKitchen")),
    ],
)
async def test_only_chiefs_change_users(
    harness: Harness, boss: Member, site: Site, role: str
) -> None:
    other = await harness.member(site.realm, role)
    more: list[Call] = [("POST", site.create, site.new())]
    if site is CRM:  # nobody makes themselves more than they are
        more += [("PATCH", site.path(other.profile), {"role": "ADMIN"})]
    else:
        more += [("GET", f"{USERS}/", None), ("POST", "/api/v1/kiosk/create", site.new())]

    answers = [await other.ask(*asked) for asked in (*site.routes(boss.profile), *more)]

    assert {site.refusal(one) for one in answers} == {(403, "FORBIDDEN")}
    if site is CRM:
        assert {one.json()["error"]["message"] for one in answers} == {"Required roles: ADMIN"}


@SITES
async def test_the_last_administrator_remains(harness: Harness, boss: Member, site: Site) -> None:
    path = site.path(boss.profile)
    # Neither one of another tenant nor one who is not active counts.
    await harness.account(site.realm, site.chief, "other")
    gone = await harness.account(site.realm, site.chief)
    await deactivate(harness.deps.identity, gone.account_id, reason="test", actor="test")
    await harness.catch_up()

    for change in (site.other, {"is_active": False}):
        answer = await boss.ask(site.change, path, change)
        assert site.refusal(answer) == (409, "CONFLICT" if site is CRM else "LAST_SUPERADMIN")
        if site is CRM:
            assert answer.json()["error"]["details"] == {"reason": "LAST_ADMIN"}
    if site is KIOSK:
        assert kiosk_error(await boss.delete(path)) == (400, "OWN_ACCOUNT")

    await harness.member(site.realm, site.chief)
    assert (await boss.ask(site.change, path, site.other)).status_code == 200


@SITES
async def test_of_an_account_with_roles_elsewhere_only_the_role_here_changes(
    harness: Harness, boss: Member, site: Site
) -> None:
    both = await harness.account(site.realm, site.lesser)
    role = Role(Workspace(Realm.CRM, "other"), "ADMIN")
    await grant_role(harness.deps.identity, both.account_id, role, actor="test")
    await harness.catch_up()
    path = site.path(both)
    asked: list[Call] = [
        (site.change, path, {"email": some_email()}),
        (site.change, path, {"is_active": False}),
        site.routes(both)[-1],
    ]

    refused = [await boss.ask(*one) for one in asked]
    same = {"email": both.person.email, "is_active": True}
    granted = await boss.ask(site.change, path, same | site.other)

    code = "CONFLICT" if site is CRM else "ACTS_ELSEWHERE"
    assert {site.refusal(answer) for answer in refused} == {(409, code)}
    assert granted.json() | site.other == granted.json()
    if site is KIOSK:
        assert (await boss.delete(path)).status_code == 200
        assert kiosk_error(await boss.get(path)) == (404, "USER_NOT_FOUND")
        settings = harness.deps.settings
        url, seal = settings.database_url, settings.seal_keys.get_secret_value()
        there = harness_on(url.get_secret_value(), people_tenant="other", seal_keys=seal)
        async with there as theirs:
            assert await CRM.login(theirs, both) == 200


@SITES
async def test_deactivation_and_another_role_end_sessions_at_once(
    harness: Harness, boss: Member, site: Site
) -> None:
    for change in ({"is_active": False}, site.other):
        member = await harness.member(site.realm, site.lesser)
        answer = await boss.ask(site.change, site.path(member.profile), change)
        assert answer.status_code == 200

        code = "UNAUTHORIZED" if site is CRM else "INVALID_TOKEN"
        assert site.refusal(await member.get(site.me)) == (401, code)


@pytest.mark.parametrize(
    ("site", "wrong", "too_often"),
    [
        (CRM, (422, "VALIDATION_ERROR"), "RATE_LIMIT_EXCEEDED"),
        (KIOSK, (400, "WRONG_PASSWORD"), "TOO_MANY_REQUESTS"),
    ],
    ids=("crm", "kiosk"),
)
async def test_a_password_change_needs_the_old_one_which_a_stolen_token_cannot_guess(
    harness: Harness, site: Site, wrong: tuple[int, str], too_often: str
) -> None:
    path = f"{USERS}/me/password"
    anna, boris = [await harness.member(site.realm, site.lesser) for _ in range(2)]
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

    assert site.refusal(await anna.post(path, body | {"current_password": "x"})) == wrong
    assert (await anna.post(path, body)).status_code == 200
    assert (await anna.post(path, body)).status_code == 401
    assert [await site.login(harness, anna.profile, one) for one in (PASSWORD, NEW_PASSWORD)] == [
        *(401, 200)
    ]

    guesses = [await boris.post(path, body | {"current_password": f"x{n}"}) for n in range(11)]
    assert site.refusal(guesses[-1]) == (429, too_often)
    assert limit_of(guesses[-1]) == "login"
    said = guesses[-1].json()
    text = said["error"]["message"] if site is CRM else said["detail"]
    assert text == ("Too Many Requests" if site is CRM else "Too many requests; try again later")
