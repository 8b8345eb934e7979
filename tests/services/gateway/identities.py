"""Accounts and sessions on a real database, with a clock to set and read models to catch up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.envelope import Envelope
from contracts.gateway import EVENTS, GatewayEvent, LoginRefused, SessionRevoked
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore, envelope
from libs.postgres.locks import AdvisoryLock
from libs.postgres.pool import acquire
from libs.security.passwords import Cost, Passwords, Verdict
from libs.security.sealing import Seal, generate_key
from libs.testing.clock import NOON, Clock
from libs.testing.pools import system_pool
from services.gateway.accounts.domain.person import Person, email
from services.gateway.accounts.domain.realm import Role, Term, Workspace
from services.gateway.accounts.domain.shop_role import ShopRole
from services.gateway.accounts.handlers.identity import Identity, Profile
from services.gateway.accounts.read_models import account_tables
from services.gateway.administration.handlers import account as accounts
from services.gateway.administration.handlers import administration
from services.gateway.api_keys import read_models as api_key
from services.gateway.realms.shop.domain import Card, Invitation
from services.gateway.realms.shop.handlers import membership as shop_membership
from services.gateway.sessions import read_models as session
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers import session as sessions
from services.gateway.sessions.handlers.login import LoginFailed, log_in
from services.gateway.sessions.handlers.session import LoggedIn

SEAL_KEY = generate_key()
"""One for all gateways of a run: they share databases, and show what others sealed."""

NOW = NOON
GRACE, LIFETIME = timedelta(seconds=10), timedelta(days=7)
CRM, KIOSK = Workspace("crm", "demo"), Workspace("kiosk", "demo")
OTHER_CRM, OTHER_KIOSK = Workspace("crm", "other"), Workspace("kiosk", "other")
ENGINEER, SUPERADMIN, STAFF = Role(CRM, "ENGINEER"), Role(KIOSK, "superadmin"), Role(KIOSK, "staff")
ANNA, BORIS = "anna@example.com", "boris@example.com"
PHONE = "+77011234567"
PASSWORD, NEW_PASSWORD = "correct horse", "battery staple"
CHEAP, DEARER = Cost(memory_kib=64, iterations=1), Cost(memory_kib=128, iterations=1)
TABLES = ("account", "account_role", "account_offer", "session")


@asynccontextmanager
async def open_identity(database: str, clock: Clock) -> AsyncIterator[Identity]:
    """All that accounts and sessions work with; hashes cost next to nothing."""
    async with system_pool(database, "gateway", size=5) as pool:
        log, passwords = PostgresLog(pool), Passwords(cost=CHEAP)
        yield Identity(
            store=EventStore[GatewayEvent](log, Codec(EVENTS), clock=clock),
            pool=pool,
            seal=Seal([SEAL_KEY]),
            passwords=passwords,
            refresh_key=b"k" * 32,
            term_of=lambda workspace, role: Term(lifetime=LIFETIME, grace=GRACE),
            locks=AdvisoryLock(pool),
            clock=clock,
        )
        passwords.close()
        await log.close()


class Counted(Passwords):
    """Counts how often a password was checked, also that of an account that is not there."""

    checks = 0

    async def verify(self, hashed: str, password: str, **options: Any) -> Verdict:
        self.checks += 1
        return await super().verify(hashed, password, **options)

    async def verify_dummy(self, password: str, **options: Any) -> Verdict:
        self.checks += 1
        return await super().verify_dummy(password, **options)


@dataclass(frozen=True)
class People:
    """Accounts, and what they and their administrators do."""

    identity: Identity

    def using(self, **changes: Any) -> "People":
        """The same with another part of the identity."""
        return People(replace(self.identity, **changes))

    async def open(
        self, address: str = ANNA, *roles: Role, password: str | None = PASSWORD, **person: Any
    ) -> Profile:
        """An account with this e-mail address, of an engineer by default."""
        return await accounts.open_account(
            self.identity,
            Person(email=address, **person),
            password=password,
            roles=roles or (ENGINEER,),
            actor="test",
        )

    async def several(self, number: int, role: Role = ENGINEER) -> list[Profile]:
        """Accounts with addresses of their own, in the role; the read models know them."""
        opened = [await self.open(f"several{n}@example.com", role) for n in range(number)]
        await self.catch_up()
        return opened

    async def enter(
        self,
        address: str | None = ANNA,
        password: str = PASSWORD,
        workspace: Workspace = CRM,
        device: str = "phone",
        **options: Any,
    ) -> LoggedIn:
        """Log in with an e-mail address; `options` as `log_in` has them."""
        given: dict[str, Any] = {"realm": workspace.realm, "tenant": workspace.tenant} | options
        return await log_in(
            self.identity,
            address=None if address is None else email(address),
            password=password,
            device=device,
            attempts=None,
            **given,
        )

    async def enter_new(self) -> LoggedIn:
        """Open the account of `ANNA` and log in."""
        await self.open()
        return await self.enter()

    async def refresh(self, session: LoggedIn | str, **options: Any) -> LoggedIn:
        """Exchange the refresh token of a session, or this one."""
        token = session if isinstance(session, str) else session.refresh_token
        return await sessions.refresh(self.identity, token, **options)

    async def assert_over(self, *ended: LoggedIn | str) -> None:
        """None of the sessions or refresh tokens can be refreshed."""
        for session_or_token in ended:
            with pytest.raises(SessionOver):
                await self.refresh(session_or_token)

    async def assert_shut_out(self, *args: Any, **options: Any) -> None:
        """A login as `enter` has it fails."""
        with pytest.raises(LoginFailed):
            await self.enter(*args, **options)

    async def change_email(self, account: Profile, address: str) -> Profile:
        """The account has this e-mail address instead, and no other addresses."""
        return await accounts.change_person(
            self.identity, account.account_id, Person(email=address), actor="test"
        )

    async def reset_password(self, account: Profile) -> None:
        """An administrator sets `NEW_PASSWORD`."""
        await accounts.reset_password(
            self.identity, account.account_id, new=NEW_PASSWORD, actor="test"
        )

    async def grant(self, account: Profile, role: Role) -> Profile:
        return await administration.grant_role(
            self.identity, account.account_id, role, actor="test"
        )

    async def withdraw(self, account: Profile, workspace: Workspace) -> None:
        await administration.withdraw_role(
            self.identity, account.account_id, workspace, actor="test"
        )

    async def invite(self, account: Profile, shop: str, role: str = "florist") -> None:
        """A shop invites them, under another name."""
        await shop_membership.invite(
            self.identity,
            account.account_id,
            shop,
            Invitation(phone=PHONE, card=Card(name=f"Белла of {shop}")),
            ShopRole(role=role),
            actor="test",
        )

    async def deactivate(self, account: Profile) -> None:
        await administration.deactivate(self.identity, account.account_id, reason="", actor="test")

    async def activate(self, account: Profile) -> None:
        await administration.activate(self.identity, account.account_id, actor="test")

    async def remove(self, account: Profile) -> None:
        await administration.remove(self.identity, account.account_id, actor="test")

    async def history(self) -> list[Envelope[GatewayEvent]]:
        return await history_of(self.identity)

    async def events_of(self, account: Profile) -> list[str]:
        stream = f"account-{account.account_id}"
        return [type(e.event).__name__ for e in await self.history() if e.stream == stream]

    async def refusals(self) -> list[LoginRefused]:
        """All logins that were refused, as far as they were recorded."""
        return [e.event for e in await self.history() if isinstance(e.event, LoginRefused)]

    async def revocations(self) -> list[str]:
        """Why sessions were revoked, each once."""
        return [e.event.reason for e in await self.history() if isinstance(e.event, SessionRevoked)]

    async def catch_up(self) -> None:
        """Build the read models anew."""
        await catch_up(self.identity)


async def history_of(identity: Identity) -> list[Envelope[GatewayEvent]]:
    """The whole log."""
    store = identity.store
    pages = [page async for page in store.log.read_all()]
    return [envelope(one, store.decode(one)) for page in pages for one in page]


async def catch_up(identity: Identity) -> None:
    """Build the read models anew, in one transaction: do all of the projectors' work.

    Of several at once each reads the log after the one before has committed: an older history
    would take back rows that were visible already.
    """
    async with acquire(identity.pool) as connection, connection.transaction():
        # The one before may take as long as a busy machine needs.
        await connection.execute("SET LOCAL lock_timeout = 0")
        await connection.execute("LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE")
        history = await history_of(identity)
        for table in (*TABLES, "api_key"):
            await connection.execute(f"DELETE FROM {table}")
        for projection in (account_tables, session, api_key):
            await projection.project(connection, history)
