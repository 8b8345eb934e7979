"""Answers about the kiosks' users (spec kiosk §3.1, §3.2)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, StringConstraints

from services.gateway.accounts.domain.person import Address, BadAddress, Person, username
from services.gateway.accounts.domain.realm import DEVICE, Realm, roles_of
from services.gateway.accounts.handlers.identity import Profile
from services.gateway.administration.handlers.member import Member
from services.gateway.doors.api.timestamp import timestamp
from services.gateway.realms.kiosk.api.route import Coded
from services.gateway.sessions.handlers.session import LoggedIn

Username: TypeAlias = Annotated[str, StringConstraints(min_length=3, max_length=100)]
Given: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=100)]
"""A password at a login."""
Phone: TypeAlias = Annotated[str, Field(max_length=50)]

STAFF_ROLES: Final = roles_of(Realm.KIOSK) - {DEVICE}
DEVICE_ROLES: Final = frozenset({DEVICE})
MAX_PASSWORD_BYTES: Final = 72
PHONE: Final = "kiosk.phone"
VERIFIED: Final = "kiosk.verified"
YES: Final = "yes"


def with_traits(person: Person, *, phone: str | None, verified: bool) -> Person:
    """The person with the traits of the kiosks. This phone does not identify accounts."""
    fields = {PHONE: phone or "", VERIFIED: YES if verified else ""}
    others = {name: value for name, value in person.traits.items() if name not in fields}
    return replace(person, traits=others | {name: value for name, value in fields.items() if value})


def check_bytes(password: str) -> None:
    """Raise Coded 400 for a password beyond 72 bytes (spec kiosk §2.1)."""
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise Coded(400, "PASSWORD_TOO_LONG", "A password has 72 bytes at most")


def parse_username(text: str) -> Address | None:
    """The user name of a login. None = malformed: a login still hashes a dummy password."""
    try:
        return username(text)
    except BadAddress:
        return None


def name_of(person: Person) -> str:
    """The name for clients: accounts opened by the command line may have no user name."""
    return person.username or person.email or ""


def brief(profile: Profile, role: str) -> dict[str, Any]:
    """The `user` beside a token."""
    return {
        "user_id": profile.number,
        "username": name_of(profile.person),
        "email": profile.person.email,
        "role_name": role,
        "is_active": profile.active,
    }


def on_device(logged_in: LoggedIn, device: str | None) -> dict[str, Any]:
    """The `user` beside a kiosk's tokens."""
    fields = brief(logged_in.account, logged_in.role)
    del fields["email"]
    return fields | {"device_id": device or None}


def brief_member(member: Member) -> dict[str, Any]:
    """The `user` of a changed member."""
    return {
        "user_id": member.number,
        "username": name_of(member.person),
        "email": member.person.email,
        "role_name": member.role,
        "is_active": member.active,
    }


def user(member: Member, last_login: datetime | None) -> dict[str, Any]:
    """A UserResponse."""
    changed = member.changed_at if member.changed_at != member.opened_at else None
    return {
        **brief_member(member),
        "phone": member.person.traits.get(PHONE),
        "is_verified": is_verified(member.person),
        "created_at": timestamp(member.opened_at),
        "updated_at": timestamp(changed),
        "last_login_at": timestamp(last_login),
    }


def users(members: list[Member], last_logins: Mapping[Any, datetime]) -> list[dict[str, Any]]:
    """UserResponses."""
    return [user(one, last_logins.get(one.account_id)) for one in members]


def is_verified(person: Person) -> bool:
    """Whether an administrator marked the person as verified."""
    return person.traits.get(VERIFIED) == YES
