"""Commands on an account."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from contracts.gateway import AccountId
from services.gateway.accounts.domain.realm import Role, Workspace

OtherSuperadmins: TypeAlias = Mapping[Workspace, int]
"""Other active superadmins by workspace; 0 for workspaces that are missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAccount:
    """Open an account. `person` and `password` (the hash) are sealed."""

    account_id: AccountId
    number: int
    person: str
    password: str | None
    roles: tuple[Role, ...]
    active: bool = True
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangePerson:
    """Replace the personal data; `person` is sealed."""

    account_id: AccountId
    person: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SetPassword:
    """Set the password (its hash, sealed) as of `set_at`.

    Sessions opened before `set_at` end. To renew the hash of the same password, keep `set_at`.
    """

    account_id: AccountId
    password: str
    set_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantRole:
    """Grant a role in a workspace. It replaces the account's role there."""

    account_id: AccountId
    role: Role
    others: OtherSuperadmins
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawRole:
    """Withdraw the account's role in a workspace."""

    account_id: AccountId
    workspace: Workspace
    others: OtherSuperadmins
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferRole:
    """Offer the account a role in a workspace, or change the offer; `sealed` as in the event."""

    account_id: AccountId
    role: Role
    number: int
    sealed: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptOffer:
    """Accept an offer. `person`, sealed, includes the workspace's card of the account."""

    account_id: AccountId
    workspace: Workspace
    person: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclineOffer:
    """Drop the offer of a workspace, by either side."""

    account_id: AccountId
    workspace: Workspace
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Deactivate:
    """Deactivate the account: it cannot log in, and its sessions end."""

    account_id: AccountId
    reason: str
    others: OtherSuperadmins
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Activate:
    """Activate the account again."""

    account_id: AccountId
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Remove the account for good."""

    account_id: AccountId
    others: OtherSuperadmins
    now: datetime


StatusCommand: TypeAlias = Deactivate | Activate | Remove
RoleCommand: TypeAlias = GrantRole | WithdrawRole
OfferCommand: TypeAlias = OfferRole | AcceptOffer | DeclineOffer
AccountCommand: TypeAlias = (
    OpenAccount | ChangePerson | SetPassword | RoleCommand | OfferCommand | StatusCommand
)
