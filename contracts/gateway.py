"""Facts the gateway announces: which keys open which doors, who is who, who is in.

Longer than most: what is told of keys, people and shops is read together.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NewType, TypeAlias
from uuid import UUID

KEYS: Final = "gateway.key"
ACCOUNTS: Final = "gateway.account"
ADDRESSES: Final = "gateway.address"
SESSIONS: Final = "gateway.session"
ACCESS: Final = "gateway.access"
SHOPS: Final = "gateway.shop"

KeyId = NewType("KeyId", UUID)
AccountId = NewType("AccountId", UUID)
SessionId = NewType("SessionId", UUID)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyIssued:
    """An API key was given out. Only its hash is told; `prefix` is what people recognise it by.

    Without `expires_at` it opens until it is revoked; without `requests_per_minute` it has no limit
    beside those of the doors.
    """

    key_id: KeyId
    name: str
    prefix: str
    hash: str
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRevoked:
    """An API key opens nothing any more."""

    key_id: KeyId
    reason: str
    revoked_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountOpened:
    """A person, or a device that logs in like one, can be known from now on.

    `number` is the integer that doors without UUIDs show. `sealed` says who they are (addresses,
    names), readable by the gateway only.
    """

    account_id: AccountId
    number: int
    sealed: str
    opened_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressClaimed:
    """An e-mail address, phone, user name or Telegram account belongs to one account.

    A fact in the address's own stream, `address-<digest>`. `digest` is keyed, so that it can be
    compared and not guessed; `generation` counts the owners of the address, from 1.
    """

    account_id: AccountId
    kind: str
    digest: str
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressReleased:
    """The address may be claimed by somebody else; a fact in its own stream."""

    account_id: AccountId
    kind: str
    digest: str
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonChanged:
    """The account says something else about who it belongs to."""

    account_id: AccountId
    sealed: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class PasswordSet:
    """The account has a password, or another one. `sealed` is its hash, sealed once more."""

    account_id: AccountId
    sealed: str
    set_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleGranted:
    """The account may act in a realm: `scales`, `crm`, `shop`, `kiosk`, `platform`.

    `tenant` is where; of the realm `shop` it is the shop's own. There a role may be followed by
    what it may do instead of the usual, and by `off`: `florist`, `florist orders,customers off`.
    """

    account_id: AccountId
    realm: str
    tenant: str
    role: str
    granted_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleWithdrawn:
    """The account may not act in a realm any more."""

    account_id: AccountId
    realm: str
    tenant: str
    withdrawn_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleOffered:
    """The account is invited to act in a realm of a tenant, and may do nothing there yet.

    `RoleGranted` of the same place accepts it; another offer of the same place replaces it.
    `number` is what the place's clients know the account by, before and after; `sealed` what the
    place knows of it (name, phone as it was written), readable by the gateway only.
    """

    account_id: AccountId
    realm: str
    tenant: str
    role: str
    number: int
    sealed: str
    offered_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleOfferEnded:
    """The account declined an offer."""

    account_id: AccountId
    realm: str
    tenant: str
    ended_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountDeactivated:
    """The account opens nothing until it is activated again; all its sessions end."""

    account_id: AccountId
    reason: str
    deactivated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountActivated:
    """The account opens again what its roles allow."""

    account_id: AccountId
    activated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountRemoved:
    """The account is gone for good; its number and id are never given again."""

    account_id: AccountId
    removed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionOpened:
    """Somebody logged in, in one realm of one tenant, until `expires_at` at the latest.

    `device` is what people recognise it by in their list of sessions.
    """

    session_id: SessionId
    account_id: AccountId
    realm: str
    tenant: str
    device: str
    opened_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRefreshed:
    """The refresh token was exchanged for the next; `generation` counts them, from 1 at login."""

    session_id: SessionId
    generation: int
    refreshed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRevoked:
    """The session is over: every token of it is worthless, wherever it is shown.

    `reason`: `logout`, `reuse`, `revoked`, `password`, `deactivated`, `removed`.
    """

    session_id: SessionId
    account_id: AccountId
    reason: str
    revoked_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginRefused:
    """Somebody was not let in. A fact in the stream `access-<realm>`.

    `account_id` is None if nobody was meant; `digest` is that of the address they named.
    """

    realm: str
    account_id: AccountId | None
    digest: str
    reason: str
    refused_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceEnrolled:
    """Somebody let a kiosk or a scale bridge in. A fact in the stream `access-<realm>`.

    `account_id` is the device's own, `client` the program that asked on it.
    """

    account_id: AccountId
    realm: str
    tenant: str
    client: str
    enrolled_by: AccountId
    enrolled_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRefused:
    """Somebody said no to a device that asked to be let in. A fact in the stream `access-<realm>`.

    `account_id` is the one it would have had.
    """

    account_id: AccountId
    realm: str
    tenant: str
    client: str
    refused_by: AccountId
    refused_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopRegistered:
    """Somebody opened a shop; a fact in the stream `shop-<number>`, told with their role there.

    `number` is what its clients know it by, `tenant` whose everything in it is, `account_id` its
    first admin, whose phone is the shop's.
    """

    number: int
    tenant: str
    account_id: AccountId
    name: str
    city: str
    registered_at: datetime


KeyEvent: TypeAlias = KeyIssued | KeyRevoked
AccountEvent: TypeAlias = (
    AccountOpened
    | PersonChanged
    | PasswordSet
    | RoleGranted
    | RoleWithdrawn
    | RoleOffered
    | RoleOfferEnded
    | AccountDeactivated
    | AccountActivated
    | AccountRemoved
)
AddressEvent: TypeAlias = AddressClaimed | AddressReleased
SessionEvent: TypeAlias = SessionOpened | SessionRefreshed | SessionRevoked
AccessEvent: TypeAlias = LoginRefused | DeviceEnrolled | DeviceRefused
GatewayEvent: TypeAlias = (
    KeyEvent | AccountEvent | AddressEvent | SessionEvent | AccessEvent | ShopRegistered
)
EVENTS: Final = (
    KeyIssued,
    KeyRevoked,
    AccountOpened,
    PersonChanged,
    PasswordSet,
    RoleGranted,
    RoleWithdrawn,
    RoleOffered,
    RoleOfferEnded,
    AccountDeactivated,
    AccountActivated,
    AccountRemoved,
    AddressClaimed,
    AddressReleased,
    SessionOpened,
    SessionRefreshed,
    SessionRevoked,
    LoginRefused,
    DeviceEnrolled,
    DeviceRefused,
    ShopRegistered,
)
