"""The settings of the scale bridge."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from libs.currency import minor_unit_digits
from libs.http.live import StreamSettings
from libs.process.context import ApiSettings
from libs.security.sealing import SealSettings
from libs.settings import ServiceSettings, TimeZoneSettings, checked
from services.scale_bridge.driver.adapters.connection import Limits
from services.scale_bridge.driver.domain.address import Policy, parse_networks, parse_ports
from services.scale_bridge.prices.domain import followers, parse_sources
from services.scale_bridge.schedules.domain.recovery import RecoveryRules
from services.scale_bridge.transfer.domain.breaker import BreakerRules
from services.scale_bridge.transfer.stores.rate_limits import CONNECTION_SECONDS


class Settings(StreamSettings, SealSettings, TimeZoneSettings, ApiSettings):
    """Read from `SCALE_BRIDGE_…`; the names of the original service (§1.5) are accepted too.

    `seal_keys` (or `FERNET_KEY`) seal the scales' passwords. "Today" on labels (R13) is the day of
    `timezone`, unless a scale has a calendar. Scales must be in `networks` and at `ports`;
    `allow_names` permits host names, `allow_loopback` is for tests and demos. With `debug` the
    service serves its own documentation.

    A scale is connected to at most once in `connection_seconds`, by all processes together. An
    operation ends within `operation_seconds`; it waits `busy_seconds` at most for another operation
    on its scale. With `embedded` the worker executes operations itself. With `diagnose`
    (`PRODUCTS_FIX_MODE`) a failed import is searched for the product that causes it; with
    `clear_on_upload` a scale deletes all products before each upload. `scheduler_on` permits
    auto-update, `scheduler_enabled` sets it for new scales.

    The scales of a tenant follow the prices that the shop of the same tenant announces, or another
    shop's that `price_sources` name: `scales' tenant=shop's tenant`. Prices in another currency
    than `currency` (ISO 4217) are parked. With `healing` scales that
    failed or show something else are corrected automatically, and scales that were not read for
    `idle_minutes` (0 for never) are read. `round_seconds` is the pause of the periodic tasks.

    What scales showed is queryable for `shown_days` (0 for ever); the log keeps it without limit.
    """

    SHARED: ClassVar[Mapping[str, str]] = {
        **ServiceSettings.SHARED,
        "seal_keys": "FERNET_KEY",
        "debug": "DEBUG",
        "timezone": "SCHEDULER_TIMEZONE",
        "scheduler_on": "SCHEDULER_SERVICE_ENABLED",
        "scheduler_enabled": "SCHEDULER_ENABLED",
        "scheduler_interval": "SCHEDULER_INTERVAL",
        "diagnose": "PRODUCTS_FIX_MODE",
        "clear_on_upload": "CLEAR_DATABASE_WHILE_UPDATING_PRODUCTS",
        "connect_seconds": "CONNECT_TIMEOUT",
        "reply_seconds": "DEFAULT_TIMEOUT",
    }

    debug: bool = False

    pool_size: int = Field(default=3, ge=1, le=100)
    answer_seconds: float = Field(default=130.0, gt=0, le=600)

    scheduler_on: bool = True
    scheduler_enabled: bool = False
    scheduler_interval: int = Field(default=1440, ge=1, le=525_600)
    diagnose: bool = False
    diagnose_auto: bool = False
    clear_on_upload: bool = False
    read_back: bool = True

    networks: Annotated[str, checked(parse_networks)] = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16"
    ports: Annotated[str, checked(parse_ports)] = "1-65535"
    allow_names: bool = False
    allow_loopback: bool = False

    embedded: bool = True
    lines: int = Field(default=64, ge=1, le=512)
    connect_seconds: float = Field(default=3.0, gt=0, le=10)
    reply_seconds: float = Field(default=10.0, gt=0, le=60)
    connection_seconds: float = Field(default=CONNECTION_SECONDS, ge=0, le=60)
    operation_seconds: float = Field(default=120.0, gt=0, le=600)
    busy_seconds: float = Field(default=5.0, ge=0, le=5)
    lease_seconds: float = Field(default=12.0, ge=5, le=120)
    breaker_failures: int = Field(default=3, ge=1)
    breaker_seconds: float = Field(default=30.0, gt=0, le=60)
    poll_seconds: float = Field(default=0.1, gt=0, le=5)
    revisions: int = Field(default=50, ge=1, le=1000)
    shown_days: float = Field(default=400, ge=0, le=36_500)

    currency: Annotated[str, checked(minor_unit_digits)] = "RUB"
    price_sources: tuple[str, ...] = ()
    healing: bool = True
    heal_first_seconds: float = Field(default=15.0, gt=0, le=3600)
    heal_longest_seconds: float = Field(default=900.0, gt=0, le=86_400)
    idle_minutes: float = Field(default=60.0, ge=0, le=10_080)
    round_seconds: float = Field(default=1.0, gt=0, le=60)

    @field_validator("price_sources")
    @classmethod
    def _are_sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_sources(value)
        return value

    def followers(self, shop: str) -> Sequence[str]:
        """The tenants whose scales follow the prices of the shop that is this tenant."""
        return followers(parse_sources(self.price_sources), shop)

    @property
    def default_interval(self) -> int | None:
        """The interval of a new device in minutes; None if it gets no schedule."""
        on = self.scheduler_on and self.scheduler_enabled
        return self.scheduler_interval if on else None

    @property
    def policy(self) -> Policy:
        """The addresses that scales may have (R14)."""
        return Policy(
            networks=parse_networks(self.networks),
            ports=parse_ports(self.ports),
            names=self.allow_names,
            special=self.allow_loopback,
        )

    @property
    def limits(self) -> Limits:
        """The time limits of one exchange."""
        return Limits(connect_seconds=self.connect_seconds, reply_seconds=self.reply_seconds)

    @property
    def recovery_rules(self) -> RecoveryRules:
        """The pauses of automatic recovery."""
        idle = timedelta(minutes=self.idle_minutes)
        return RecoveryRules(
            first=timedelta(seconds=self.heal_first_seconds),
            longest=timedelta(seconds=self.heal_longest_seconds),
            idle=idle or None,
        )

    @property
    def breaker_rules(self) -> BreakerRules:
        """When circuit breakers open, and for how long."""
        cool_down = timedelta(seconds=self.breaker_seconds)
        return BreakerRules(failures=self.breaker_failures, cool_down=cool_down)
