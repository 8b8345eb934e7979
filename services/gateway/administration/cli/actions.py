"""The actions and the output of the `accounts` commands.

Each takes the `Deps` of the gateway. Raises what the handlers raise.
"""

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
from services.gateway.accounts.domain.device_client import HOUSE
from services.gateway.accounts.domain.person import Address, Person, email, username
from services.gateway.accounts.domain.realm import Place, Realm, Role
from services.gateway.accounts.handlers import address as addresses
from services.gateway.accounts.handlers.identity import Profile, open_person, profile
from services.gateway.accounts.read_models import account as listed
from services.gateway.administration.handlers import account as accounts
from services.gateway.administration.handlers import administration
from services.gateway.context import Deps
from services.gateway.sessions.read_models import live_sessions

ACTOR: Final = "command line"


class SeveralAccounts(Refused):
    """Several accounts have this address, in different places; give the id or the number."""


async def create(deps: Deps, person: Person, password: str, role: Role) -> None:
    """Open an account with this role."""
    made = await accounts.open_account(
        deps.identity, person, password=password, roles=[role], actor=ACTOR
    )
    _say(f"account id  {made.account_id}\nnumber      {made.number}")


async def list_accounts(
    deps: Deps, place: Place | None, limit: int, offset: int, as_json: bool
) -> None:
    """Accounts of a page, oldest first."""
    page = await listed.of_place(deps.pool, place, limit=limit, offset=offset)
    found = [
        _present(
            Profile(
                account_id=row.account_id,
                number=row.number,
                person=open_person(deps.identity.seal, row.account_id, row.sealed),
                roles={role.place: role.name for role in row.roles},
                active=row.active,
            )
        )
        for row in page.accounts
    ]
    if as_json:
        return _say_json({"accounts": found, "total": page.total})
    # Ids are to be copied, so they may break over lines but are never cut.
    table = Table("number", Column("account id", overflow="fold"), "who", "roles", "active")
    for one in found:
        table.add_row(*(escape(str(one[name])) for name in LISTED))
    Console().print(table)
    return None


async def show(deps: Deps, who: str, as_json: bool) -> None:
    """One account, with where it is logged in."""
    found = await profile(deps.identity, await _meant(deps, who))
    sessions = await live_sessions(deps.pool, found.account_id, deps.identity.clock())
    told = _present(found) | {
        "sessions": [
            f"{one.place.realm}/{one.place.tenant} {one.device} since {one.opened_at:%F %R}"
            for one in sessions
        ]
    }
    if as_json:
        return _say_json(told)
    table = Table("", "", show_header=False)
    for name, value in told.items():
        said = "\n".join(value) if isinstance(value, list) else str(value)
        table.add_row(name.replace("_", " "), escape(said))
    Console().print(table)
    return None


async def activate(deps: Deps, who: str) -> None:
    """Let an account in again."""
    await administration.activate(deps.identity, await _meant(deps, who), actor=ACTOR)


async def deactivate(deps: Deps, who: str, reason: str) -> None:
    """Take an account out for now."""
    meant = await _meant(deps, who)
    await administration.deactivate(deps.identity, meant, reason=reason, actor=ACTOR)


async def reset_password(deps: Deps, who: str, password: str) -> None:
    """Give an account another password."""
    meant = await _meant(deps, who)
    await accounts.reset_password(deps.identity, meant, new=password, actor=ACTOR)


LISTED: Final = ("number", "account_id", "who", "roles", "active")


async def _meant(deps: Deps, who: str) -> AccountId:
    try:
        return AccountId(UUID(who))
    except ValueError:
        pass
    if who.isascii() and who.isdigit():
        row = await listed.by_number(deps.pool, int(who))
        found = row.account_id if row else None
    else:
        address = email(who) if "@" in who else username(who)
        found = await _only_owner(deps, address)
    if found is None:
        raise AccountUnknown
    return found


async def _only_owner(deps: Deps, address: Address) -> AccountId | None:
    """Whose address it is, wherever they act. Raises SeveralAccounts."""
    ours = [Place(realm, deps.settings.people_tenant) for realm in Realm]
    places = {*ours, HOUSE, *await listed.places(deps.pool)}
    owners = {await addresses.owner_in(deps.identity, address, place) for place in places}
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


def _say(text: str) -> None:
    Console().print(text, markup=False, highlight=False)


def _say_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())
