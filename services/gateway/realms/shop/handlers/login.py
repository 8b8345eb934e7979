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
    """The init data that a Mini App sends, valid for `max_age`."""

    init_data: str
    phone: str | None
    bot_token: str
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class ShopLogins:
    """Logins to shops from one device, which is named by its browser."""

    identity: Identity
    context: CodeContext
    device: str

    async def by_code(self, phone: str, code: str, *, address: str) -> LoginOutcome:
        """Log in by a phone (E.164) and its code, to the shop that `login_workspace` gives.

        An account without a role in any shop accepts its oldest invitation. A right code is used up
        in any case. Raises NotAdmitted if the account is not active, Unavailable.
        """
        outcome = await verify_code(self.context, phone, code, address=address)
        # Loaded in any case, so that all phones take equally long.
        loaded = await self._of_phone(phone)
        if not isinstance(outcome, Verified):
            await self._record_refusal(loaded, phone, "code")
            return outcome
        if not loaded.account.known:
            return Newcomer(phone)
        if not loaded.account.active:
            await self._record_refusal(loaded, phone, "deactivated")
            raise NotAdmitted
        workspace = await login_workspace(self.identity, loaded) or await self._join(loaded)
        if workspace is None:
            return Newcomer(phone)
        return await self._enter(loaded, workspace, await self.context.links.chat_of(phone))

    async def by_mini_app(self, app: MiniApp, *, role: str | None = None) -> Entered:
        """Log in by the init data of a Mini App, to a shop in which the user works (as `role`).

        A user without a role in any shop accepts the oldest invitation. NoShop is raised only after
        the phone was proved. Raises InitDataMalformed, InitDataForged, InitDataStale, NoPhone,
        PhoneNotProved, NoShop, InitDataUsed, Unavailable.
        """
        caller, phone = await self._prove(app)
        loaded = await self._of_phone(phone)
        workspace = await login_workspace(self.identity, loaded, role)
        if not loaded.account.active or not (workspace or first_shop(loaded.account, role)):
            await self._record_refusal(loaded, phone, "role")
            raise NoShop
        await self._use_up(app, caller)
        workspace = workspace or await self._join(loaded, role)
        if workspace is None:
            raise NoShop
        return await self._enter(loaded, workspace, caller.telegram_id)

    async def register_by_mini_app(self, app: MiniApp, *, name: str, city: str) -> Entered:
        """Register a shop for the user of a Mini App, and log in. Raises ShopExists, and as
        `by_mini_app` without NoShop."""
        caller, phone = await self._prove(app)
        loaded = await self._of_phone(phone)
        if await owned_shops(self.identity, loaded.account_id, loaded.account):
            raise ShopExists
        await self._use_up(app, caller)
        return await self.register(phone, name=name, city=city, telegram_id=caller.telegram_id)

    async def register(
        self, phone: str, *, name: str, city: str, telegram_id: int | None
    ) -> Entered:
        """Register a shop for a proved phone, and log in. Raises as `register_shop`."""
        account_id, shop = await register_shop(
            self.identity, phone, name=name, city=city, telegram_id=telegram_id
        )
        loaded = await load(self.identity, account_id)
        return await self._enter(loaded, workspace_of_shop(shop.tenant), telegram_id)

    async def another(self, account_id: AccountId, tenant: str) -> Entered:
        """Log in to another shop in which the account works. Raises NotStaff, NotAdmitted,
        Unavailable."""
        loaded, workspace = await load(self.identity, account_id), workspace_of_shop(tenant)
        if workspace not in dict(workspaces_of_staff(loaded.account.roles)):
            raise NotStaff
        return await self._enter(loaded, workspace, None)

    async def _prove(self, app: MiniApp) -> tuple[TelegramCaller, str]:
        """Verify a Mini App: its user, and their proved phone (E.164). Records refusals."""
        try:
            caller = mini_app.read_init_data(
                self.context, app.init_data, bot_token=app.bot_token, max_age=app.max_age
            )
            return caller, await mini_app.proved_phone(self.context, caller, app.phone)
        except Unauthenticated as error:
            digest = self.identity.seal.digest("phone", app.phone or "")
            await self._record(None, digest, type(error).__name__)
            raise

    async def _use_up(self, app: MiniApp, caller: TelegramCaller) -> None:
        try:
            await mini_app.use_up(self.context, caller, max_age=app.max_age)
        except mini_app.InitDataUsed as error:
            digest = digest_of(self.identity.seal, people.telegram(caller.telegram_id))
            await self._record(None, digest, type(error).__name__)
            raise

    async def _join(self, loaded: Loaded, role: str | None = None) -> Workspace | None:
        """Accept the oldest invitation of an account without a role; its workspace, if any."""
        if (workspace := first_shop(loaded.account, role)) is None:
            return None
        try:
            await accept(self.identity, loaded.account_id, workspace.tenant)
        except OfferUnknown:
            # It was withdrawn, or accepted by a concurrent login.
            loaded = await load(self.identity, loaded.account_id)
            return await login_workspace(self.identity, loaded, role)
        return workspace

    async def _enter(
        self, loaded: Loaded, workspace: Workspace, telegram_id: int | None
    ) -> Entered:
        identity = self.identity
        if telegram_id is not None:
            await remember_telegram(identity, loaded, workspace.tenant, telegram_id)
        now = identity.clock()
        loaded = await load(identity, loaded.account_id)
        if workspace not in dict(workspaces_of_staff(loaded.account.roles)):
            raise NotAdmitted
        logged_in = await admit(identity, loaded, workspace, self.device, now)
        person = person_of(identity, loaded.account_id, loaded.account)
        shop = await shop_of(identity, workspace.tenant)
        return Entered(logged_in=logged_in, shop=shop, card=card_of(person, workspace.tenant))

    async def _of_phone(self, phone: str) -> Loaded:
        account_id = await find(self.identity, people.phone(phone))
        return await load(self.identity, account_id or NO_ACCOUNT)

    async def _record_refusal(self, loaded: Loaded, phone: str, reason: str) -> None:
        of = loaded.account_id if loaded.account.known else None
        await self._record(of, digest_of(self.identity.seal, people.phone(phone)), reason)

    async def _record(self, account_id: AccountId | None, digest: str, reason: str) -> None:
        now = self.identity.clock()
        await record_refusal(self.identity, Realm.SHOP, account_id, digest, reason, now)
