"""What the gateway must be told."""

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator

from libs.security.tokens import SigningKey
from libs.settings import ServiceSettings
from services.gateway.adapters.limits import allowances

MIN_KEY_LENGTH: Final = 20
LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
STORAGE: Final = re.compile(r"async\+[a-z+]+://")
PUBLISHED_KEYS: Final = frozenset({"your_secret_api_key"})


class Settings(ServiceSettings):
    """Read from `GATEWAY_…`.

    `scan_client_key` is the one key that all scanners and dashboards of older make share.
    `trusted_proxies` are the networks whose `X-Forwarded-…` headers are believed, and
    `metrics_networks` those that may read `/metrics`. Limits count requests of one key from one
    address, or `by key` from everywhere; empty switches one off. `rate_limit_storage` is a URL of
    `limits`, for several gateways that count together.
    """

    ingest_url: str = Field(pattern=r"^https?://[^/?#]+/?$")
    signing_key: SecretStr
    issuer: str = Field(default="tillstream-gateway", min_length=1)
    token_seconds: int = Field(default=300, ge=30, le=900)

    scan_client_key: SecretStr | None = None
    scan_client_key_tenant: str = Field(default="demo", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    scan_client_key_scopes: tuple[str, ...] = ("scan:write", "scan:read", "scan:remove")

    cors_origins: tuple[str, ...] = ("http://localhost:3000", "http://localhost:8080")
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    metrics_networks: tuple[IPvAnyNetwork, ...] = LOOPBACK
    max_body_bytes: int = Field(default=10 * 1024 * 1024, ge=1024)

    rate_limit_ingest: str = "24000/minute; 60000/minute by key"
    rate_limit_dashboard: str = "600/minute; 6000/minute by key"
    rate_limit_removal: str = "100/minute; 1000/hour by key"
    rate_limit_export: str = "100/minute; 1000/hour by key"
    rate_limit_storage: SecretStr | None = None

    connect_seconds: float = Field(default=2.0, gt=0)
    answer_seconds: float = Field(default=30.0, gt=0)
    idle_seconds: float = Field(default=60.0, gt=0)
    upstream_connections: int = Field(default=200, ge=1)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_seconds: float = Field(default=1.0, gt=0)

    key_fresh_seconds: float = Field(default=10.0, ge=0)
    key_stale_seconds: float = Field(default=3600.0, ge=0)

    @field_validator("signing_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr) -> SecretStr:
        SigningKey.from_pem(value.get_secret_value())
        return value

    @field_validator("scan_client_key")
    @classmethod
    def _is_hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        key = value.get_secret_value() if value else None
        if key is not None and (len(key) < MIN_KEY_LENGTH or key in PUBLISHED_KEYS):
            raise ValueError(f"must have at least {MIN_KEY_LENGTH} characters and be your own")
        return value

    @field_validator(
        "rate_limit_ingest", "rate_limit_dashboard", "rate_limit_removal", "rate_limit_export"
    )
    @classmethod
    def _is_a_limit(cls, value: str) -> str:
        allowances(value)
        return value

    @field_validator("rate_limit_storage")
    @classmethod
    def _is_a_storage(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not STORAGE.match(value.get_secret_value()):
            raise ValueError("must begin like async+redis:// or async+memory://")
        return value

    def origin_of(self, service: str) -> str:
        """Where the service behind a door listens."""
        return str(getattr(self, f"{service}_url"))
