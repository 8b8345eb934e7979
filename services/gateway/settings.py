"""The settings of the gateway."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import Field, IPvAnyNetwork, SecretStr, create_model, field_validator

from libs.security.sealing import Seal, SealSettings, derive_key
from libs.security.tokens import MAX_INTERNAL_LIFETIME, KeyRing
from libs.settings import ServiceSettings, checked
from services.gateway.accounts.domain.realm import DEVICES, Realm, Term, Workspace
from services.gateway.doors.domain.door import Door, Limit
from services.gateway.doors.domain.doors import DOORS
from services.gateway.doors.stores import MEMORY, parse_limits

MIN_KEY_LENGTH: Final = 20
LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
BOUND: Final = re.compile(r"([a-z]+)=([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)")
STORAGE: Final = re.compile(r"async\+[a-z+]+://")
BOT_TOKEN: Final = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{20,100}")
NOWHERE: Final = "http://127.0.0.1:1"
"""An unused address: the door of a service that is not installed answers 503."""
PUBLISHED_KEYS: Final = frozenset({"your_secret_api_key"})


def _derive(text: str) -> None:
    derive_key(text, "check")


def _bot_token(text: str) -> None:
    if not BOT_TOKEN.fullmatch(text):
        raise ValueError("must look like 123456789:AA…, as BotFather gives it")


def _hard_to_guess(text: str) -> None:
    if len(text) < MIN_KEY_LENGTH or text in PUBLISHED_KEYS:
        raise ValueError(f"must have at least {MIN_KEY_LENGTH} characters and be your own")


def _storage(text: str) -> None:
    if not STORAGE.match(text):
        raise ValueError("must begin like async+redis:// or async+memory://")


RateLimit: TypeAlias = Annotated[str, checked(parse_limits)]


def _lifetimes() -> Iterator[tuple[str, tuple[type[float], Any]]]:
    """The fields for the lifetimes of each realm's sessions and access tokens."""
    for realm in Realm:
        entry = realm.entry
        days = Field(default=entry.session_days, gt=0, le=400)
        minutes = Field(default=entry.access_minutes, gt=0, le=entry.most_access_minutes)
        yield f"session_days_{realm}", (float, days)
        yield f"access_minutes_{realm}", (float, minutes)


if TYPE_CHECKING:
    RealmSettings: TypeAlias = ServiceSettings
else:
    RealmSettings = create_model("RealmSettings", __base__=ServiceSettings, **dict(_lifetimes()))


class Settings(SealSettings, RealmSettings):
    """Read from `GATEWAY_…`.

    `scan_client_key` is the one key that all scanners and dashboards of older make share.
    `trusted_proxies` are the networks whose `X-Forwarded-…` headers count, `metrics_networks` those
    that may read `/metrics` and check sessions, `verify_networks` those of proxies that use
    forward-auth. Rate limits count the requests of one key from one address, or `by key` from all;
    empty for no limit. `rate_limit_storage` is a URL of `limits`, for several gateways that count
    together. `hosts` are `door=host name`.

    Before the oldest of `seal_keys` is dropped it becomes `seal_digest_key`. `refresh_key` has the
    same form. A session
    lasts `session_days_<realm>` without a refresh, or `session_days_device` for a kiosk or a scale
    bridge; for `refresh_grace_seconds…` after one the same refresh is answered again.
    A service begins to answer within `answer_seconds`, or `slow_answer_seconds` where a route
    waits for something outside, such as a scale. `public_url` is where clients find this gateway,
    and the issuer of access tokens; the default issuer is the address that this process listens at.
    Gateways that share their keys must share it too. Access tokens live for `access_minutes_…`; a
    new account belongs to `people_tenant`. `setup_code` protects the creation of the kiosks' first
    superadmin. The answer to a change of an account or a session waits at most
    `stale_wait_seconds` until lists show it.

    `cors_origins` are the origins of pages that may call, at every door. By default each door has
    the origins that the contract of its client lists, all on a developer's own machine.

    `telegram_token` is the bot's, `telegram_bot` its user name without the @, and
    `telegram_webhook_url` where Telegram finds our `/api/telegram/webhook` from outside. Init data
    of Mini Apps is believed for `telegram_age_seconds`.
    """

    ingest_url: str = Field(pattern=r"^https?://[^/?#]+/?$")
    scale_bridge_url: str = Field(default=NOWHERE, pattern=r"^https?://[^/?#]+/?$")
    shop_url: str = Field(default=NOWHERE, pattern=r"^https?://[^/?#]+/?$")
    signing_key: Annotated[SecretStr, checked(KeyRing.from_pem)]
    seal_digest_key: Annotated[SecretStr | None, checked(_derive)] = None
    refresh_key: Annotated[SecretStr, checked(_derive)]
    issuer: str = Field(default="tillstream-gateway", min_length=1)
    token_seconds: int = Field(default=300, ge=30, le=int(MAX_INTERNAL_LIFETIME.total_seconds()))

    scan_client_key: Annotated[SecretStr | None, checked(_hard_to_guess)] = None
    scan_client_key_tenant: str = Field(default="demo", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    scan_client_key_scopes: tuple[str, ...] = ("scan:write", "scan:read", "scan:remove")

    # One connection may wait for an advisory lock while its holder writes by another.
    pool_size: int = Field(default=5, ge=2, le=100)
    session_days_device: float = Field(default=90, gt=0, le=400)
    refresh_grace_seconds: float = Field(default=10, ge=0, le=30)
    refresh_grace_seconds_kiosk: float = Field(default=30, ge=0, le=60)
    # A device without people in front of it: a lost answer must not cost its enrolment.
    refresh_grace_seconds_device: float = Field(default=30, ge=0, le=30)
    # A kiosk may wait for a lost answer for long before it asks again (spec kiosk §3.4).
    refresh_grace_seconds_kiosk_device: float = Field(default=60, ge=0, le=60)
    password_threads: int = Field(default=2, ge=1, le=32)
    people_tenant: str = Field(default="demo", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    public_url: str | None = Field(default=None, pattern=r"^https?://[^?#\s]+$")
    # A kiosk counts on 30 days, though it refreshes every 45 minutes (spec kiosk §2.1).
    access_minutes_device: float = Field(default=43_200, gt=0, le=43_200)
    # A scale bridge refreshes by itself, by `expires_in`.
    access_minutes_bridge: float = Field(default=60, gt=0, le=1440)
    setup_code: SecretStr | None = None
    stale_wait_seconds: float = Field(default=2.0, ge=0, le=30)

    telegram_url: str = Field(default="https://api.telegram.org", pattern=r"^https?://[^/?#]+/?$")
    telegram_token: Annotated[SecretStr | None, checked(_bot_token)] = None
    telegram_bot: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_]{4,31}$")
    telegram_webhook_url: str | None = Field(default=None, pattern=r"^https?://[^?#\s]+$")
    telegram_age_seconds: int = Field(default=86_400, ge=60, le=604_800)

    cors_origins: tuple[str, ...] | None = None
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    metrics_networks: tuple[IPvAnyNetwork, ...] = LOOPBACK
    verify_networks: tuple[IPvAnyNetwork, ...] = ()
    hosts: tuple[str, ...] = ()
    max_url_bytes: int = Field(default=16 * 1024, ge=256)
    max_header_bytes: int = Field(default=32 * 1024, ge=1024)
    max_body_bytes: int = Field(default=10 * 1024 * 1024, ge=1024)

    rate_limit_ingest: RateLimit = "24000/minute; 60000/minute by key"
    rate_limit_dashboard: RateLimit = "600/minute; 6000/minute by key"
    rate_limit_removal: RateLimit = "100/minute; 1000/hour by key"
    rate_limit_export: RateLimit = "100/minute; 1000/hour by key"
    rate_limit_login: RateLimit = "10/minute; 100/hour"
    rate_limit_failed_login: RateLimit = "30/minute; 300/hour"
    rate_limit_registration: RateLimit = "20/minute; 100/hour"
    rate_limit_public: RateLimit = "120/minute; 2000/hour"
    rate_limit_storage: Annotated[SecretStr | None, checked(_storage)] = None

    connect_seconds: float = Field(default=2.0, gt=0)
    answer_seconds: float = Field(default=30.0, gt=0)
    slow_answer_seconds: float = Field(default=140.0, gt=0)
    idle_seconds: float = Field(default=60.0, gt=0)
    upstream_connections: int = Field(default=200, ge=1)
    websocket_connections: int = Field(default=1000, ge=0)
    websocket_max_bytes: int = Field(default=1024 * 1024, ge=1)
    websocket_handshake_seconds: float = Field(default=10.0, gt=0)
    websocket_ping_seconds: float = Field(default=20.0, gt=0)
    websocket_recheck_seconds: float = Field(default=15.0, gt=0)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_seconds: float = Field(default=1.0, gt=0)

    key_fresh_seconds: float = Field(default=10.0, ge=0)
    key_stale_seconds: float = Field(default=3600.0, ge=0)

    @field_validator("hosts")
    @classmethod
    def _are_bound(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _hosts(value)
        return value

    def seal(self) -> Seal:
        """The seal of personal data, also for digests."""
        digest_key = self.seal_digest_key
        return Seal(
            self.sealing_keys, digest_key=digest_key.get_secret_value() if digest_key else None
        )

    @property
    def access_lifetimes(self) -> Mapping[str, timedelta]:
        """The lifetime of access tokens by realm, or by kind of device: a kind needs a field."""
        return {
            kind: timedelta(minutes=getattr(self, f"access_minutes_{kind}"))
            for kind in (*Realm, *DEVICES.values())
        }

    def term_of(self, workspace: Workspace, role: str) -> Term:
        """The term of sessions of a role in a workspace."""
        realm, device = workspace.realm, (workspace.realm, role) in DEVICES
        days = getattr(self, f"session_days_{'device' if device else realm}")
        grace = getattr(self, f"refresh_grace_seconds_{realm}", self.refresh_grace_seconds)
        if device:
            of_devices = self.refresh_grace_seconds_device
            name = f"refresh_grace_seconds_{realm}_device"
            grace = max(grace, getattr(self, name, of_devices))
        return Term(lifetime=timedelta(days=days), grace=timedelta(seconds=grace))

    def doors_by_host(self) -> Mapping[str, str]:
        """The names of doors by bound host name."""
        return _hosts(self.hosts)

    @property
    def rate_limits(self) -> Mapping[Limit, str]:
        """The rate limits by kind of route; none in the profile `test`."""
        if self.profile == "test":
            return {}
        limited = [limit for limit in Limit if limit is not Limit.NONE]
        return {limit: getattr(self, f"rate_limit_{limit.replace('-', '_')}") for limit in limited}

    @property
    def rate_limit_storage_url(self) -> str:
        """Where requests are counted; in the memory of this process by default."""
        storage = self.rate_limit_storage
        return MEMORY if storage is None else storage.get_secret_value()

    @property
    def bot_token(self) -> str | None:
        """The token of the Telegram bot; None without a bot."""
        return self.telegram_token.get_secret_value() if self.telegram_token else None

    @property
    def token_issuer(self) -> str:
        """The issuer of access tokens: this gateway's address (RFC 8414 §2, RFC 9068 §2.2)."""
        return (self.public_url or f"http://{self.http_host}:{self.http_port}").rstrip("/")

    def pages_at(self, doors: Iterable[Door]) -> frozenset[str]:
        """The allowed origins of these doors; `*` allows all.

        The setting applies to every door; the default are the doors' own origins.
        """
        defaults = [origin for door in doors for origin in door.origins]
        origins = defaults if self.cors_origins is None else self.cors_origins
        return frozenset(origin.rstrip("/") for origin in origins)

    def origin_of(self, service: str) -> str:
        """The URL of the service behind a door."""
        return str(getattr(self, f"{service}_url"))


def _hosts(bindings: tuple[str, ...]) -> Mapping[str, str]:
    """Parse `door=host` bindings. Raises ValueError if malformed, unknown or repeated."""
    known = {door.name for door in DOORS}
    bound: dict[str, str] = {}
    for binding in bindings:
        match = BOUND.fullmatch(binding.lower())
        if match is None or match[1] not in known:
            raise ValueError("must look like door=host, with one of " + ", ".join(sorted(known)))
        if match[2] in bound:
            raise ValueError("one host cannot lead to two doors")
        bound[match[2]] = match[1]
    return bound
