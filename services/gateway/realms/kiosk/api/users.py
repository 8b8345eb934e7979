"""Users of the kiosks and kiosks themselves, as their clients send and read them.

See spec kiosk §3.1, §3.2.
"""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final, TypeAlias

from fastapi import Body
from pydantic import AfterValidator, BaseModel, EmailStr, Field, StrictBool, StringConstraints

from services.gateway.accounts.domain.account import AccountUnknown
from services.gateway.accounts.domain.person import Address, BadAddress, Person, username
from services.gateway.accounts.domain.realm import KIOSK_ITSELF, Realm
from services.gateway.accounts.handlers.address import owner_in
from services.gateway.accounts.handlers.identity import Profile
from services.gateway.administration.api.users import YES, Call, Face, Route, UserBody, user_router
from services.gateway.administration.handlers.member import Member, MemberChanges, load_member
from services.gateway.doors.api.timestamp import timestamp
from services.gateway.realms.kiosk.api.route import Coded, KioskRoute, KioskUserRoute
from services.gateway.sessions.api.realm_permission import account_of

Username: TypeAlias = Annotated[str, StringConstraints(min_length=3, max_length=100)]
Given: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=100)]
"""A password at a login."""
NewPassword: TypeAlias = Annotated[str, StringConstraints(min_length=8, max_length=100)]
Phone: TypeAlias = Annotated[str, Field(max_length=50), AfterValidator(lambda text: text or None)]
"""A phone; an empty one is none."""

MAX_PASSWORD_BYTES: Final = 72
TRAITS: Final = {"phone": "kiosk.phone", "is_verified": "kiosk.verified"}
"""The phone does not identify accounts."""
CREATE: Final = "kiosk:can_create_users"
MANAGE: Final = "kiosk:can_manage_users"


class NewKiosk(BaseModel):
    """A new kiosk."""

    username: Username
    password: NewPassword
    is_active: bool = True
    is_verified: bool = False


class NewAdmin(NewKiosk):
    """A new administrator."""

    email: EmailStr | None = None
    phone: Phone | None = None


class Status(BaseModel):
    """Whether a user may log in."""

    is_active: StrictBool


class OwnPassword(BaseModel):
    """The present and the new password."""

    current_password: Given
    new_password: NewPassword


class Password(BaseModel):
    """The new password of a user."""

    new_password: NewPassword


class Change(BaseModel):
    """Changes of a user. Fields that are missing stay; null clears optional ones."""

    username: Username = Field(default="")
    email: EmailStr | None = None
    phone: Phone | None = None
    is_active: bool = True
    is_verified: bool = False
    role_name: str = Field(default="", max_length=100)


class Paging(BaseModel):
    """The query of the list."""

    skip: int = Field(default=0, ge=0, le=2**31)
    limit: int = Field(default=100, ge=1, le=1000)


def parse_username(text: str) -> Address | None:
    """The user name of a login. None = malformed: a login still hashes a dummy password."""
    try:
        return username(text)
    except BadAddress:
        return None


def check_password(password: str) -> None:
    """Raise Coded 400 for a password beyond 72 bytes (spec kiosk §2.1)."""
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise Coded(400, "PASSWORD_TOO_LONG", "A password has 72 bytes at most")


def name_of(person: Person) -> str:
    """The name for clients: accounts opened by the command line may have no user name."""
    return person.username or person.email or ""


def brief(one: Member | Profile, role: str) -> UserBody:
    """The `user` beside a token or a message."""
    return {
        "user_id": one.number,
        "username": name_of(one.person),
        "email": one.person.email,
        "role_name": role,
        "is_active": one.active,
    }


def user(member: Member, last_login: datetime | None) -> UserBody:
    """A UserResponse."""
    changed = member.changed_at if member.changed_at != member.opened_at else None
    return {
        **brief(member, member.role),
        "phone": member.person.traits.get(TRAITS["phone"]),
        "is_verified": member.person.traits.get(TRAITS["is_verified"]) == YES,
        "created_at": timestamp(member.opened_at),
        "updated_at": timestamp(changed),
        "last_login_at": timestamp(last_login),
    }


class KioskFace(Face):
    """The kiosks' users, who cannot delete or deactivate themselves."""

    async def remove(self, call: Call, user_id: int) -> None:
        """See `Face`."""
        if (await self.one(call, user_id)).account_id == account_of(call.caller):
            raise Coded(400, "OWN_ACCOUNT", "You cannot delete your own account")
        await super().remove(call, user_id)

    async def set_status(self, call: Call, username: str, body: bool | Status) -> UserBody:
        """Activate or deactivate a user."""
        active = body if isinstance(body, bool) else body.is_active
        address = parse_username(username)
        account_id = await owner_in(call.identity, address, call.workspace) if address else None
        if account_id is None:
            raise AccountUnknown
        if not active and account_id == account_of(call.caller):
            raise Coded(400, "OWN_ACCOUNT", "You cannot deactivate your own account")
        if (await load_member(call.identity, account_id, call.workspace)).active == active:
            raise Coded(400, "ALREADY_SO", "The account is in this state already")
        changed = await self.apply(call, account_id, MemberChanges(active=active))
        message = "The account is active" if active else "The account is not active any more"
        return {"message": message, "user": brief(changed, changed.role)}

    async def reset_password(self, call: Call, user_id: int, body: Password) -> None:
        """Set another password of a user."""
        self.check_password(body.new_password)
        member = await self.one(call, user_id)
        await self.apply(call, member.account_id, MemberChanges(password=body.new_password))


FACE: Final = KioskFace(
    realm=Realm.KIOSK,
    within="kiosk:staff",
    path="/api/v1/users",
    route_class=KioskUserRoute,
    user_id=int,
    show=user,
    fields={"username": "username", "email": "email"},
    traits=TRAITS,
    role_field="role_name",
    query=lambda paging: {"limit": paging.limit, "offset": paging.skip},
    check_password=check_password,
    routes=(
        Route(
            *("POST /create-admin", Face.create, "create_admin"),
            "Create an administrator; 409 if the user name or e-mail address is taken.",
            *(CREATE, NewAdmin),
            role="admin",
        ),
        Route(
            *("GET /", Face.page, "all_users", "List all users by number, kiosks too."),
            *(MANAGE, Paging, list[UserBody]),
        ),
        Route(
            *("PATCH /status/{username}", KioskFace.set_status, "set_status"),
            "Activate or deactivate a user; 400 for oneself, or if the status does not change.",
            *(MANAGE, Annotated[StrictBool | Status, Body()]),
        ),
        Route(
            *("POST /me/password", Face.own_password, "own_password"),
            "Change one's own password; 400 if the present one is wrong. Everybody logs in again.",
            takes=OwnPassword,
            message="The password was changed, log in again",
        ),
        Route("GET /{user_id}", Face.one, "one_user", "Read a user.", MANAGE),
        Route(
            *("PUT /{user_id}", Face.change, "change_user"),
            "Change the given fields of a user; null clears optional ones.",
            *(MANAGE, Change),
        ),
        Route(
            *("POST /{user_id}/password", KioskFace.reset_password, "reset_password"),
            "Set another password of a user; their sessions end.",
            *(MANAGE, Password),
            message="The password was changed",
        ),
        Route(
            *("DELETE /{user_id}", KioskFace.remove, "delete_user"),
            "Delete a user; 400 for oneself.",
            "kiosk:can_delete_users",
            message="The user was deleted",
        ),
    ),
)
KIOSKS: Final = replace(
    FACE,
    path="/api/v1",
    route_class=KioskRoute,
    routes=[
        Route(
            *(f"POST {path}", Face.create, "create_kiosk", "Create a kiosk."),
            *(CREATE, NewKiosk),
            status=201,
            role=KIOSK_ITSELF,
        )
        for path in ("/kiosk/create", "/api/kiosk/create")
    ],
)
ME: Final = replace(
    FACE,
    path="/api/v1/auth",
    route_class=KioskRoute,
    routes=[Route("GET /me", Face.me, "me", "The caller as a UserResponse.")],
)
ROUTERS: Final = tuple(user_router(face) for face in (ME, KIOSKS, FACE))
