"""Requests about the kiosks' users (spec kiosk §3.2)."""

from dataclasses import replace
from typing import Annotated, TypeAlias

from pydantic import BaseModel, EmailStr, Field, StrictBool, StringConstraints

from services.gateway.accounts.domain.person import Person
from services.gateway.administration.handlers.member import Member, MemberChanges
from services.gateway.realms.kiosk.api.shapes import (
    PHONE,
    Given,
    Phone,
    Username,
    is_verified,
    with_traits,
)

NewPassword: TypeAlias = Annotated[str, StringConstraints(min_length=8, max_length=100)]


class NewKiosk(BaseModel):
    """A kiosk to be."""

    username: Username
    password: NewPassword
    is_active: bool = True
    is_verified: bool = False


class NewAdmin(NewKiosk):
    """An administrator to be."""

    email: EmailStr | None = None
    phone: Phone | None = None


class Status(BaseModel):
    """Whether somebody may log in."""

    is_active: StrictBool


class OwnPassword(BaseModel):
    """One's password, and the next."""

    current_password: Given
    new_password: NewPassword


class Password(BaseModel):
    """Somebody's next password."""

    new_password: NewPassword


class Change(BaseModel):
    """What is not given stays as it is; null takes away, but for what everybody must have."""

    username: Username = Field(default="")
    email: EmailStr | None = None
    phone: Phone | None = None
    is_active: bool = True
    is_verified: bool = False
    role_name: str = Field(default="", max_length=100)


def wanted(body: Change, now: Member) -> MemberChanges:
    """How the member shall be."""
    given = body.model_fields_set
    return MemberChanges(
        person=_person(body, now.person),
        role=body.role_name if "role_name" in given else None,
        active=body.is_active if "is_active" in given else None,
    )


def _person(body: Change, now: Person) -> Person:
    given = body.model_fields_set
    person = replace(
        now,
        username=body.username if "username" in given else now.username,
        email=body.email if "email" in given else now.email,
    )
    return with_traits(
        person,
        phone=body.phone if "phone" in given else now.traits.get(PHONE),
        verified=body.is_verified if "is_verified" in given else is_verified(now),
    )
