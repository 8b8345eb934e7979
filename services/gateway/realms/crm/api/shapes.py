"""Requests and answers about the crm's users (spec crm §3.2)."""

from collections.abc import Set
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, EmailStr, Field, StringConstraints

from services.gateway.accounts.domain.person import Person
from services.gateway.administration.handlers.member import Member, MemberChanges
from services.gateway.doors.api.timestamp import timestamp

RoleName: TypeAlias = Literal["ADMIN", "SUPERVISOR", "ENGINEER"]
Password: TypeAlias = Annotated[str, StringConstraints(min_length=8, max_length=128)]
FullName: TypeAlias = Annotated[str, StringConstraints(min_length=2, max_length=255)]
Phone: TypeAlias = Annotated[str, Field(max_length=20)]

TRAITS: Final = {"phone": "crm.phone", "city_id": "crm.city_id", "district_id": "crm.district_id"}
"""What only the crm keeps of a person, by field. Nobody is found by that phone."""


class Traits(BaseModel):
    """What somebody may have or not."""

    phone: Phone | None = None
    city_id: UUID | None = None
    district_id: UUID | None = None


class NewUser(Traits):
    """Somebody to be let in."""

    email: EmailStr
    password: Password
    full_name: FullName
    role: RoleName
    is_active: bool = True


class Change(Traits):
    """What is not given stays as it is. What everybody must have cannot be null."""

    email: EmailStr = ""
    password: Password = ""
    full_name: FullName = ""
    role: RoleName = "ENGINEER"
    is_active: bool = True


class OwnPassword(BaseModel):
    """One's password, and the next."""

    current_password: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    new_password: Password


def with_traits(person: Person, body: Traits, given: Set[str]) -> Person:
    """Apply the traits whose fields were present in the request."""
    told = {TRAITS[field]: getattr(body, field) for field in given & TRAITS.keys()}
    others = {name: said for name, said in person.traits.items() if name not in told}
    kept = {name: str(said) for name, said in told.items() if said is not None}
    return replace(person, traits=others | kept)


def wanted(body: Change, now: Member) -> MemberChanges:
    """How the user shall be."""
    given = body.model_fields_set
    person = replace(
        now.person,
        email=body.email if "email" in given else now.person.email,
        name=body.full_name if "full_name" in given else now.person.name,
    )
    return MemberChanges(
        person=with_traits(person, body, given),
        role=body.role if "role" in given else None,
        active=body.is_active if "is_active" in given else None,
        password=body.password if "password" in given else None,
    )


def user(found: Member, last_login: datetime | None) -> dict[str, Any]:
    """A user as the clients read them. Names of cities are the dictionaries' to say."""
    traits = {field: found.person.traits.get(name) for field, name in TRAITS.items()}
    return {
        "id": str(found.account_id),
        "email": found.person.email or "",
        "full_name": found.person.name,
        "role": found.role,
        **traits,
        "city": None,
        "district": None,
        "is_active": found.active,
        "last_login_at": timestamp(last_login),
        "created_at": timestamp(found.opened_at),
        "updated_at": timestamp(found.changed_at),
    }
