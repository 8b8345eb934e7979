"""Logins of a shop's staff: by a one-time code, or from the Mini App."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from contracts.gateway import AccountId, ShopRegistered
from libs.errors import NotFound, TooMany, Unauthenticated
from services.gateway.accounts.domain import person as people
from services.gateway.accounts.domain.account import OfferUnknown
from services.gateway.accounts.domain.realm import Realm, Workspace
from services.gateway.accounts.domain.shop import workspace_of_shop
from services.gateway.accounts.handlers.address import digest_of, find
from services.gateway.accounts.handlers.identity import (
    NO_ACCOUNT,
    Identity,
    Loaded,
    load,
    person_of,
)
from services.gateway.realms.shop.domain import Card, card_of, workspaces_of_staff
from services.gateway.realms.shop.handlers.membership import accept, first_shop, login_workspace
from services.gateway.realms.shop.handlers.shop import (
    ShopExists,
    owned_shops,
    register_shop,
    shop_of,
)
from services.gateway.realms.shop.handlers.staff import NotStaff, remember_telegram
from services.gateway.sessions.handlers.login import record_refusal
from services.gateway.sessions.handlers.session import LoggedIn, NotAdmitted, admit
from services.gateway.telegram.domain.init_data import TelegramCaller
from services.gateway.telegram.domain.one_time_code import Expired, Verified, Wrong
from services.gateway.telegram.handlers import mini_app
from services.gateway.telegram.handlers.one_time_code import CodeContext, verify_code


@dataclass(frozen=True, kw_only=True, slots=True)
class Entered:
    """A login to a shop: the session, the shop, and the shop's card of the member.

    `shop` is None for a tenant that was not registered by its members.
    """

    logged_in: LoggedIn
    shop: ShopRegistered | None
    card: Card


@dataclass(frozen=True, slots=True)
class Newcomer:
    """The phone is proved, but its owner works in no shop."""

    phone: str


class NoShop(NotFound):
    """The owner of this phone works in no shop, or not in this role."""


LoginOutcome: TypeAlias = Entered | Newcomer | Wrong | Expired | TooMany


@dataclass(frozen=True, kw_only=True, slots=True)
class MiniApp:
    """The init data that a Mini App sends, valid for `max_age`; `device` is its browser."""

    init_data: str
    phone: str | None
    bot_token: str
    max_age: timedelta
    device: str


async def enter_by_code(
    identity: Identity, context: CodeContext, phone: str, code: str, *, address: str, device: str
) -> LoginOutcome:
    """Log in by a phone (E.164) and its code, to the shop that `login_workspace` gives.

    An account without a role in any shop accepts its oldest invitation. A right code is used up in
    any case. Raises NotAdmitted if the account is not active, Unavailable.
    """
    outcome = await verify_code(context, phone, code, address=address)
    # Loaded in any case, so that all phones take equally long.
    loaded = await _of_phone(identity, phone)
    if not isinstance(outcome, Verified):
        await _record_refusal(identity, loaded, phone, "code")
        return outcome
    if not loaded.account.known:
        return Newcomer(phone)
    if not loaded.account.active:
        await _record_refusal(identity, loaded, phone, "deactivated")
        raise NotAdmitted
    workspace = await login_workspace(identity, loaded) or await _join(identity, loaded)
    if workspace is None:
        return Newcomer(phone)
    chat = await context.links.chat_of(phone)
    return await _enter(identity, loaded, workspace, chat, device)


async def enter_by_mini_app(
    identity: Identity, context: CodeContext, app: MiniApp, *, role: str | None = None
) -> Entered:
    """Log in by the init data of a Mini App, to a shop in which the user works (as `role`).

    A user without a role in any shop accepts the oldest invitation. NoShop is raised only after the
    phone was proved. Raises InitDataMalformed, InitDataForged, InitDataStale, NoPhone,
    PhoneNotProved, NoShop, InitDataUsed, Unavailable.
    """
    caller, phone = await prove(identity, context, app)
    loaded = await _of_phone(identity, phone)
    workspace = await login_workspace(identity, loaded, role)
    if not loaded.account.active or not (workspace or first_shop(loaded.account, role)):
        await _record_refusal(identity, loaded, phone, "role")
        raise NoShop
    await _use_up(identity, context, app, caller)
    workspace = workspace or await _join(identity, loaded, role)
    if workspace is None:
        raise NoShop
    return await _enter(identity, loaded, workspace, caller.telegram_id, app.device)


async def register_by_mini_app(
    identity: Identity, context: CodeContext, app: MiniApp, *, name: str, city: str
) -> Entered:
    """Register a shop for the user of a Mini App, and log in. Raises ShopExists, and as
    `enter_by_mini_app` without NoShop."""
    caller, phone = await prove(identity, context, app)
    loaded = await _of_phone(identity, phone)
    if await owned_shops(identity, loaded.account_id, loaded.account):
        raise ShopExists
    await _use_up(identity, context, app, caller)
    return await register_and_enter(
        identity, phone, name=name, city=city, telegram_id=caller.telegram_id, device=app.device
    )


async def register_and_enter(
    identity: Identity, phone: str, *, name: str, city: str, telegram_id: int | None, device: str
) -> Entered:
    """Register a shop for a proved phone, and log in. Raises as `register_shop`."""
    account_id, shop = await register_shop(
        identity, phone, name=name, city=city, telegram_id=telegram_id
    )
    loaded = await load(identity, account_id)
    return await _enter(identity, loaded, workspace_of_shop(shop.tenant), telegram_id, device)


async def enter_another(
    identity: Identity, account_id: AccountId, tenant: str, *, device: str
) -> Entered:
    """Log in to another shop in which the account works. Raises NotStaff, NotAdmitted,
    Unavailable."""
    loaded = await load(identity, account_id)
    if workspace_of_shop(tenant) not in dict(workspaces_of_staff(loaded.account.roles)):
        raise NotStaff
    return await _enter(identity, loaded, workspace_of_shop(tenant), None, device)


async def prove(
    identity: Identity, context: CodeContext, app: MiniApp
) -> tuple[TelegramCaller, str]:
    """Verify a Mini App: its user, and their proved phone (E.164). Records refusals."""
    try:
        caller = mini_app.read_init_data(
            context, app.init_data, bot_token=app.bot_token, max_age=app.max_age
        )
        return caller, await mini_app.proved_phone(context, caller, app.phone)
    except Unauthenticated as error:
        digest = identity.seal.digest("phone", app.phone or "")
        await _record(identity, None, digest, type(error).__name__)
        raise


async def _use_up(
    identity: Identity, context: CodeContext, app: MiniApp, caller: TelegramCaller
) -> None:
    try:
        await mini_app.use_up(context, caller, max_age=app.max_age)
    except mini_app.InitDataUsed as error:
        digest = digest_of(identity.seal, people.telegram(caller.telegram_id))
        await _record(identity, None, digest, type(error).__name__)
        raise


async def _join(identity: Identity, loaded: Loaded, role: str | None = None) -> Workspace | None:
    """Accept the oldest invitation of an account without a role; its workspace, if any."""
    if (workspace := first_shop(loaded.account, role)) is None:
        return None
    try:
        await accept(identity, loaded.account_id, workspace.tenant)
    except OfferUnknown:
        # It was withdrawn, or accepted by a concurrent login.
        loaded = await load(identity, loaded.account_id)
        return await login_workspace(identity, loaded, role)
    return workspace


async def _enter(
    identity: Identity, loaded: Loaded, workspace: Workspace, telegram_id: int | None, device: str
) -> Entered:
    if telegram_id is not None:
        await remember_telegram(identity, loaded, workspace.tenant, telegram_id)
    now = identity.clock()
    loaded = await load(identity, loaded.account_id)
    if workspace not in dict(workspaces_of_staff(loaded.account.roles)):
        raise NotAdmitted
    logged_in = await admit(identity, loaded, workspace, device, now)
    person = person_of(identity, loaded.account_id, loaded.account)
    shop = await shop_of(identity, workspace.tenant)
    return Entered(logged_in=logged_in, shop=shop, card=card_of(person, workspace.tenant))


async def _of_phone(identity: Identity, phone: str) -> Loaded:
    account_id = await find(identity, people.phone(phone))
    return await load(identity, account_id or NO_ACCOUNT)


async def _record_refusal(identity: Identity, loaded: Loaded, phone: str, reason: str) -> None:
    of = loaded.account_id if loaded.account.known else None
    await _record(identity, of, digest_of(identity.seal, people.phone(phone)), reason)


async def _record(
    identity: Identity, account_id: AccountId | None, digest: str, reason: str
) -> None:
    now = identity.clock()
    await record_refusal(identity, Realm.SHOP, account_id, digest, reason, now)
