"""Commands on an account."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from contracts.gateway import AccountId
from services.gateway.accounts.domain.realm import Place, Role

Others: TypeAlias = Mapping[Place, int]
"""How many other active accounts are superadmin where this one is; where none is said, none are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAccount:
    """Let somebody be known. `person` and `password` (the hash) come sealed."""

    account_id: AccountId
    number: int
    person: str
    password: str | None
    roles: tuple[Role, ...]
    active: bool = True
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangePerson:
    """Say something else about who they are; `person` comes sealed."""

    account_id: AccountId
    person: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SetPassword:
    """Give the account this password (its hash, sealed) as of `set_at`.

    Renewing the hash of the same password keeps the moment it was set at, and with it the
    sessions.
    """

    account_id: AccountId
    password: str
    set_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantRole:
    """Let the account act in a place, in this role instead of any other."""

    account_id: AccountId
    role: Role
    others: Others
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawRole:
    """Let the account act in a place no more."""

    account_id: AccountId
    place: Place
    others: Others
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferRole:
    """Invite the account to act in a place, or change the invitation; `sealed` as in the event."""

    account_id: AccountId
    role: Role
    number: int
    sealed: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptOffer:
    """Let the account act where it is invited; `person`, sealed, is the account with what the
    place calls it."""

    account_id: AccountId
    place: Place
    person: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclineOffer:
    """Drop the invitation to a place."""

    account_id: AccountId
    place: Place
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Deactivate:
    """Let the account open nothing for the time being."""

    account_id: AccountId
    reason: str
    others: Others
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Activate:
    """Let the account open again what its roles allow."""

    account_id: AccountId
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Let the account be gone for good."""

    account_id: AccountId
    others: Others
    now: datetime


StatusChange: TypeAlias = Deactivate | Activate | Remove
Roles: TypeAlias = GrantRole | WithdrawRole
Offers: TypeAlias = OfferRole | AcceptOffer | DeclineOffer
AccountCommand: TypeAlias = OpenAccount | ChangePerson | SetPassword | Roles | Offers | StatusChange
