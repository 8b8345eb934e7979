"""The actions and the output of the `accounts` commands. They raise what the handlers raise."""

from typing import Any, Final
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from contracts.gateway import AccountId
from libs.errors import Refused
from services.gateway.accounts.domain.account import AccountUnknown
from services.gateway.accounts.domain.person import Address, Person, email, username
from services.gateway.accounts.domain.realm import PLATFORM_WORKSPACE, Realm, Role, Workspace
from services.gateway.accounts.handlers import address as addresses
from services.gateway.accounts.handlers.identity import Profile, open_person, profile
from services.gateway.accounts.read_models import account as account_list
from services.gateway.administration.handlers import account as accounts
from services.gateway.administration.handlers import administration
from services.gateway.context import Deps
from services.gateway.sessions.read_models import live_sessions

ACTOR: Final = "command line"


class SeveralAccounts(Refused):
    """Several accounts have this address, in different workspaces; give the id or the number."""


async def create(deps: Deps, person: Person, password: str, role: Role) -> None:
    """Open an account with this role; prints its id and number."""
    account = await accounts.open_account(
        deps.identity, person, password=password, roles=[role], actor=ACTOR
    )
    _print(f"account id  {account.account_id}\nnumber      {account.number}")


async def list_accounts(
    deps: Deps, workspace: Workspace | None, limit: int, offset: int, as_json: bool
) -> None:
    """Print a page of accounts, oldest first."""
    page = await account_list.in_workspace(deps.system, workspace, limit=limit, offset=offset)
    found = [
        _present(
            Profile(
                account_id=row.account_id,
                number=row.number,
                person=open_person(deps.identity.seal, row.account_id, row.sealed),
                roles={role.workspace: role.name for role in row.roles},
                active=row.active,
            )
        )
        for row in page.accounts
    ]
    if as_json:
        return _print_json({"accounts": found, "total": page.total})
    # Ids are for copying: they wrap and are never cut.
    table = Table("number", Column("account id", overflow="fold"), "who", "roles", "active")
    for one in found:
        table.add_row(*(escape(str(one[name])) for name in COLUMNS))
    Console().print(table)
    return None


async def show(deps: Deps, who: str, as_json: bool) -> None:
    """Print one account and its sessions."""
    found = await profile(deps.identity, await _resolve(deps, who))
    sessions = await live_sessions(deps.system, found.account_id, deps.identity.clock())
    fields = _present(found) | {
        "sessions": [
            f"{one.workspace.realm}/{one.workspace.tenant} {one.device} since {one.opened_at:%F %R}"
            for one in sessions
        ]
    }
    if as_json:
        return _print_json(fields)
    table = Table("", "", show_header=False)
    for name, value in fields.items():
        text = "\n".join(value) if isinstance(value, list) else str(value)
        table.add_row(name.replace("_", " "), escape(text))
    Console().print(table)
    return None


async def activate(deps: Deps, who: str) -> None:
    """Activate an account again."""
    await administration.activate(deps.identity, await _resolve(deps, who), actor=ACTOR)


async def deactivate(deps: Deps, who: str, reason: str) -> None:
    """Deactivate an account."""
    account_id = await _resolve(deps, who)
    await administration.deactivate(deps.identity, account_id, reason=reason, actor=ACTOR)


async def reset_password(deps: Deps, who: str, password: str) -> None:
    """Set another password."""
    account_id = await _resolve(deps, who)
    await accounts.reset_password(deps.identity, account_id, new=password, actor=ACTOR)


COLUMNS: Final = ("number", "account_id", "who", "roles", "active")


async def _resolve(deps: Deps, who: str) -> AccountId:
    """The account with this id, number or address. Raises AccountUnknown, SeveralAccounts."""
    try:
        return AccountId(UUID(who))
    except ValueError:
        pass
    if who.isascii() and who.isdigit():
        row = await account_list.by_number(deps.system, int(who))
        found = row.account_id if row else None
    else:
        address = email(who) if "@" in who else username(who)
        found = await _only_owner(deps, address)
    if found is None:
        raise AccountUnknown
    return found


async def _only_owner(deps: Deps, address: Address) -> AccountId | None:
    """The owner of an address in any workspace. Raises SeveralAccounts."""
    own = [Workspace(realm, deps.settings.people_tenant) for realm in Realm]
    workspaces = {*own, PLATFORM_WORKSPACE, *await account_list.workspaces(deps.system)}
    owners = {
        await addresses.owner_in(deps.identity, address, workspace) for workspace in workspaces
    }
    owners |= {await addresses.find(deps.identity, address)}
    if len(owners - {None}) > 1:
        raise SeveralAccounts
    return next(iter(owners - {None}), None)


def _present(one: Profile) -> dict[str, Any]:
    person = one.person
    names = (person.name, person.email, person.phone, person.username, person.telegram_id)
    return {
        "number": one.number,
        "account_id": str(one.account_id),
        "who": " · ".join(str(name) for name in names if name),
        "roles": ", ".join(f"{at.realm}/{at.tenant} {role}" for at, role in one.roles.items()),
        "active": one.active,
    }


def _print(text: str) -> None:
    Console().print(text, markup=False, highlight=False)


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())
