"""A shop's staff, as its clients send and read them (spec shop §4.7, §2.5)."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    EmailStr,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from libs.errors import Forbidden
from libs.http.auth import Permission, require
from libs.http.shapes import TEXT
from libs.names import comparable
from services.gateway.accounts.domain.account import OfferedTooOften
from services.gateway.accounts.domain.realm import Realm
from services.gateway.accounts.domain.shop_role import ShopRole
from services.gateway.administration.api.users import Call, Face, Route, UserBody, user_router
from services.gateway.realms.shop.api.current_user import user
from services.gateway.realms.shop.api.token import AuthRoute, printable, refusal
from services.gateway.realms.shop.domain import Card
from services.gateway.realms.shop.handlers import administration
from services.gateway.realms.shop.handlers import staff as shop_staff
from services.gateway.realms.shop.handlers.administration import StaffAdministrator
from services.gateway.realms.shop.handlers.shop import shop_of
from services.gateway.realms.shop.handlers.staff import LastAdmin, NotStaff, StaffMember
from services.gateway.sessions.api.realm_permission import account_of
from services.gateway.telegram.api.one_time_code import Phone

RoleName = Literal["admin", "manager", "florist", "courier"]


def _none_if_empty(value: object) -> object:
    # The user form sends "" where nothing was written (spec shop §12).
    return None if value == "" else value


def _digits(value: object) -> object:
    return str(value) if type(value) is int else _none_if_empty(value)


def _number(telegram_id: str | None) -> int | None:
    return int(telegram_id) if telegram_id else None


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(printable),
]
Email = Annotated[EmailStr | None, BeforeValidator(_none_if_empty)]
TelegramId = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,15}$")] | None,
    BeforeValidator(_digits),
]


class Hired(BaseModel):
    """A person to invite."""

    phone: Phone
    name: Name
    role: RoleName
    email: Email = None
    is_active: bool = True
    telegram_id: TelegramId = None

    def shop_role(self) -> ShopRole:
        """The role of the new member."""
        return ShopRole(role=self.role, active=self.is_active)

    def card(self) -> Card:
        """The shop's card of the new member."""
        return Card(name=self.name, email=self.email, telegram_id=_number(self.telegram_id))


class Changed(BaseModel):
    """Changes of a member. The phone belongs to the account and cannot be changed."""

    name: Name | None = None
    role: RoleName | None = None
    email: Email = None
    is_active: bool | None = None
    telegram_id: TelegramId = None

    def shop_role(self, before: ShopRole) -> ShopRole:
        """The role after the change. Another role has its default permissions."""
        role = self.role or before.role
        active = before.active if self.is_active is None else self.is_active
        keys = before.keys if role == before.role else None
        return ShopRole(role=role, keys=keys, active=active)

    def card(self, before: Card) -> Card:
        """The card after the change; missing fields stay."""
        given = self.model_fields_set
        telegram_id = _number(self.telegram_id)
        return Card(
            name=self.name or before.name,
            email=self.email if "email" in given else before.email,
            telegram_id=telegram_id if "telegram_id" in given else before.telegram_id,
        )


class Permitted(BaseModel, extra="forbid"):
    """The permissions to grant or revoke, bare or under `permissions` (spec shop §12)."""

    orders: StrictBool = False
    warehouse: StrictBool = False
    customers: StrictBool = False
    production: StrictBool = False
    settings: StrictBool = False
    users: StrictBool = False

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        wrapped = isinstance(value, dict) and value.keys() == {"permissions"}
        return value["permissions"] if wrapped else value


class StaffQuery(BaseModel):
    """The query of a list of staff. `search` applies to names, phones and addresses."""

    skip: int = Field(default=0, ge=0)
    limit: int = Field(default=100, ge=1, le=100)
    search: str = Field(default="", max_length=100)
    role: RoleName | None = None
    is_active: bool | None = None


class StaffRoute(AuthRoute):
    """Answers the refusals of the administration in the words of the shop's pages."""

    shape = TEXT.with_rows(
        {
            NotStaff: refusal(404, "Пользователь не найден"),
            administration.PhoneTaken: refusal(
                400, "Пользователь с этим номером телефона уже есть"
            ),
            administration.EmailTaken: refusal(400, "Пользователь с этим адресом почты уже есть"),
            OfferedTooOften: refusal(400, "Этого человека приглашали слишком часто"),
            administration.IsAdmin: refusal(400, "Права администратора не меняются"),
            LastAdmin: refusal(400, "Это последний администратор магазина"),
            administration.OwnRole: refusal(403, "Свою роль и права нельзя менять"),
            Forbidden: refusal(403, "Недостаточно прав"),
        }
    )


class StaffFace(Face):
    """A face of a shop's staff, who are invited, have cards, and are deactivated, not removed."""

    def permission(self, scope: str = "") -> Permission:
        """See `Face`. A change of a role ends the member's sessions, so the token's scopes do."""
        return require(scope)

    async def page(self, call: Call, query: StaffQuery) -> tuple[Sequence[StaffMember], int]:
        """See `Face`. Oldest first, those who are switched off too."""
        staff = await shop_staff.staff_of(call.identity, call.caller.tenant)
        found = [member for member in staff if _matches(member, query)]
        return found[query.skip : query.skip + query.limit], len(found)

    async def one(self, call: Call, user_id: int) -> StaffMember:
        """See `Face`."""
        return await shop_staff.by_number(call.identity, user_id, call.caller.tenant)

    async def create(self, call: Call, body: Hired) -> StaffMember:
        """See `Face`."""
        return await _administrator(call).hire(body.phone, body.card(), body.shop_role())

    async def change(self, call: Call, user_id: int, body: Changed) -> StaffMember:
        """See `Face`."""
        member = await self.one(call, user_id)
        return await _administrator(call).change(member, shop_role=body.shop_role, card=body.card)

    async def remove(self, call: Call, user_id: int) -> StaffMember:
        """See `Face`."""
        return await _administrator(call).deactivate(await self.one(call, user_id))

    async def permit(self, call: Call, user_id: int, body: Permitted) -> StaffMember:
        """Grant permissions to a member, or revoke them."""
        member = await self.one(call, user_id)
        return await _administrator(call).allow(member, body.model_dump(exclude_unset=True))

    async def present(self, call: Call, users: Sequence[StaffMember]) -> list[UserBody]:
        """See `Face`."""
        shop = await shop_of(call.identity, call.caller.tenant)
        return [self.show(one, shop.number if shop else None) for one in users]


def _administrator(call: Call) -> StaffAdministrator:
    caller = call.caller
    keys = frozenset(scope.removeprefix("shop:") for scope in caller.scopes)
    return StaffAdministrator(
        identity=call.identity, account_id=account_of(caller), tenant=caller.tenant, keys=keys
    )


def _matches(member: StaffMember, query: StaffQuery) -> bool:
    texts = (member.card.name, member.phone or "", member.card.email or "")
    return (
        query.role in (None, member.shop_role.role)
        and query.is_active in (None, member.active)
        and any(_searched(query.search) in _searched(text) for text in texts)
    )


def _searched(text: str) -> str:
    return comparable(text).lower()


def _show(member: StaffMember, shop_id: int | None) -> UserBody:
    return {
        **user(member),
        "permissions": dict(member.shop_role.permissions),
        "shop_id": shop_id,
        "created_at": member.opened_at.isoformat(),
        "updated_at": member.changed_at.isoformat(),
    }


SCOPE: Final = "shop:users"
FACE: Final = StaffFace(
    realm=Realm.SHOP,
    path="/api/users",
    route_class=StaffRoute,
    user_id=int,
    id_name="number",
    show=_show,
    paged=lambda items, total: {"items": items, "total": total},
    routes=(
        Route(
            *("GET /", StaffFace.page, "list_users"),
            "List the staff of the shop, oldest first, those who are switched off too.",
            *(SCOPE, StaffQuery),
        ),
        Route(
            *("POST /", StaffFace.create, "create_user"),
            "Invite a person: 200, and listed from now on; 400 for a member or a pending "
            "invitation.\n\nA person without a shop accepts by the first login, others by the bot "
            "or `/api/auth/shops`.",
            *(SCOPE, Hired),
        ),
        Route(
            *("GET /{number}", StaffFace.one, "get_user"),
            *("Read a member of the staff; 404 for everybody else.", SCOPE),
        ),
        Route(
            *("PATCH /{number}", StaffFace.change, "change_user"),
            "Change a member's card, role, or whether they may log in.",
            *(SCOPE, Changed),
        ),
        Route(
            *("PATCH /{number}/permissions", StaffFace.permit, "change_permissions"),
            "Grant permissions to a member, or revoke them; 400 for an admin.",
            *(SCOPE, Permitted),
        ),
        Route(
            *("DELETE /{number}", StaffFace.remove, "delete_user"),
            *("Deactivate a member, who stays in the list; 400 for an admin.", SCOPE),
        ),
    ),
)
router = user_router(FACE)
