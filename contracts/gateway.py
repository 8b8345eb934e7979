"""Events of the gateway: API keys, accounts, addresses, sessions, access and shops."""

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
    """An API key was issued. The event has only its hash; `prefix` is shown to people.

    Without `expires_at` the key is valid until it is revoked; without `requests_per_minute` it has
    no limit of its own.
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
    """An API key was revoked."""

    key_id: KeyId
    reason: str
    revoked_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountOpened:
    """An account was opened for a person, or for a device that logs in like one.

    `number` is its id in APIs without UUIDs. `sealed` are its personal data (addresses, names),
    which only the gateway can read.
    """

    account_id: AccountId
    number: int
    sealed: str
    opened_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressClaimed:
    """An e-mail address, phone number, user name or Telegram account was claimed by an account.

    A fact in the address's own stream, `address-<digest>`. `digest` is keyed, so that it can be
    compared but not guessed; `generation` counts the owners of the address, from 1.
    """

    account_id: AccountId
    kind: str
    digest: str
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressReleased:
    """An address was released and may be claimed again. A fact in the address's own stream."""

    account_id: AccountId
    kind: str
    digest: str
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonChanged:
    """The personal data of an account were changed."""

    account_id: AccountId
    sealed: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class PasswordSet:
    """The password of an account was set. `sealed` is its hash, sealed."""

    account_id: AccountId
    sealed: str
    set_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleGranted:
    """An account was granted a role in a realm: `scales`, `crm`, `shop`, `kiosk`, `platform`.

    In the realm `shop`, `tenant` is the shop's own, and a role may be followed by permissions that
    replace the usual ones, and by `off`: `florist`, `florist orders,customers off`.
    """

    account_id: AccountId
    realm: str
    tenant: str
    role: str
    granted_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleWithdrawn:
    """The role of an account in a realm was withdrawn."""

    account_id: AccountId
    realm: str
    tenant: str
    withdrawn_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleOffered:
    """An account was offered a role in a realm of a tenant, where it may do nothing yet.

    `RoleGranted` with the same realm and tenant accepts the offer; another offer replaces it.
    `number` is the account's id for clients of the realm. `sealed` are the data that were given
    with the offer (name, phone number as written), which only the gateway can read.
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
    """An account declined an offer."""

    account_id: AccountId
    realm: str
    tenant: str
    ended_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountDeactivated:
    """An account was deactivated until it is activated again; all its sessions end."""

    account_id: AccountId
    reason: str
    deactivated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountActivated:
    """An account was activated again, with its roles."""

    account_id: AccountId
    activated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountRemoved:
    """An account was removed for ever. Its number and id are never reused."""

    account_id: AccountId
    removed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionOpened:
    """A session was opened in a realm of a tenant; it ends at `expires_at` at the latest.

    `device` is its name in a person's list of sessions.
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
    """A refresh token was exchanged for the next; `generation` counts them, from 1 at login."""

    session_id: SessionId
    generation: int
    refreshed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRevoked:
    """A session ended. All its tokens are invalid, for every service.

    `reason`: `logout`, `reuse`, `revoked`, `password`, `deactivated`, `removed`.
    """

    session_id: SessionId
    account_id: AccountId
    reason: str
    revoked_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginRefused:
    """A login was refused. A fact in the stream `access-<realm>`.

    `account_id` is None if there is no such account; `digest` is that of the address given.
    """

    realm: str
    account_id: AccountId | None
    digest: str
    reason: str
    refused_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceEnrolled:
    """A kiosk or a scale bridge was enrolled. A fact in the stream `access-<realm>`.

    `account_id` is the device's own account, `client` the program on the device.
    """

    account_id: AccountId
    realm: str
    tenant: str
    client: str
    enrolled_by: AccountId
    enrolled_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRefused:
    """The enrolment of a device was refused. A fact in the stream `access-<realm>`.

    `account_id` is the account that the device would have had.
    """

    account_id: AccountId
    realm: str
    tenant: str
    client: str
    refused_by: AccountId
    refused_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopRegistered:
    """A shop was registered. A fact in the stream `shop-<number>`, appended with its admin's role.

    `number` is its id for clients, `tenant` the tenant of all its data, `account_id` its first
    admin, whose phone number is the shop's.
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
