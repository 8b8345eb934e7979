"""Settings, read from the environment once, at start, and checked as a whole."""

import os
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo

MASK = "********"
WEAK = frozenset(
    {"admin", "change-me", "changeme", "default", "password", "postgres", "secret", "test"}
)


class SettingsFault(Exception):
    """The faults of the environment, one line per variable, without any secret."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = dict(faults)
        super().__init__("\n".join(f"{name}: {fault}" for name, fault in sorted(faults.items())))


def _postgres_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must look like postgresql://user:password@host:port/database")
    return value


AnySettings = TypeVar("AnySettings", bound="Settings")


def checked(check: Callable[[str], object]) -> AfterValidator:
    """For fields whose text, secret or not, must pass `check`, which raises ValueError."""

    def validate(value: Any) -> Any:
        if value is not None:
            check(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return value

    return AfterValidator(validate)


Dsn = Annotated[SecretStr, AfterValidator(_postgres_url)]
"""The URL of a Postgres database. Masked, because it may contain a password."""


class Settings(BaseModel):
    """The base of a service's settings, whose fields are environment variables.

    A `SecretStr` field is a secret: masked everywhere, and outside the profile `demo` neither
    empty, nor a well-known word, nor left to the default written in the code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    SHARED: ClassVar[Mapping[str, str]] = {
        "database_url": "DATABASE_URL",
        "kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS",
        "log_level": "LOG_LEVEL",
        "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
        "profile": "TILLSTREAM_PROFILE",
        "topic_prefix": "TILLSTREAM_TOPIC_PREFIX",
    }
    """Fields that all services may share, and the variable they then share."""

    @classmethod
    def from_env(cls, prefix: str, env: Mapping[str, str] = os.environ) -> Self:
        """Read `PREFIX_FIELD`, else the shared variable, else the default, for every field.

        Each variable may instead be given as `<NAME>_FILE`, the path of a file whose stripped
        content is the value. Lists are separated by commas. Raises `SettingsFault` with all faults
        at once.
        """
        names = {field: f"{prefix}_{field}".upper() for field in cls.model_fields}
        given: dict[str, str] = {}
        faults: dict[str, str] = {}
        for field, name in names.items():
            _read(given, faults, env, field, [name, *_shared_name(cls, field)])
        _refuse_weak_secrets(cls, given, faults, names)
        settings = _validated(cls, given, faults, names)
        if settings is None:
            raise SettingsFault(faults)
        return settings


class ServiceSettings(Settings):
    """The settings that every service has. A port of 0 means any free one.

    The profile `test` is for acceptance suites. It answers on loopback only, because its secrets
    are well known.

    A request body is cut off when it stalls for `body_seconds`, or when it takes longer than that
    in all without coming at `body_bytes_per_second`.

    With several `projection_shards` a worker projects several streams concurrently, and holds that
    many times more connections.
    """

    database_url: Dsn
    kafka_bootstrap_servers: str = Field(min_length=1)
    topic_prefix: str = Field(default="tillstream", pattern=r"^[a-z][a-z0-9-]*$")
    profile: Literal["demo", "test", "local", "production"] = "production"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://")
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=0, ge=0, le=65535)
    worker_http_port: int = Field(default=0, ge=0, le=65535)
    pool_size: int = Field(default=5, ge=1, le=100)
    projection_shards: int = Field(default=1, ge=1, le=16)
    body_seconds: float = Field(default=20.0, gt=0)
    body_bytes_per_second: float = Field(default=500.0, gt=0)

    @field_validator("http_host")
    @classmethod
    def _refuse_remote_host(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("profile") == "test" and not _is_loopback(value):
            raise ValueError("must be a loopback address in the profile test")
        return value


def _zone(text: str) -> None:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone such as Europe/Moscow or UTC") from None


class TimeZoneSettings(BaseModel):
    """The settings of a service whose days begin at midnight somewhere."""

    timezone: Annotated[str, checked(_zone)] = "Europe/Moscow"

    @property
    def zone(self) -> ZoneInfo:
        """The zone of days."""
        return ZoneInfo(self.timezone)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def describe(settings: Settings) -> list[tuple[str, str]]:
    """Every field with its value as text, secrets masked."""
    fields = type(settings).model_fields
    return [(name, _display(fields[name], getattr(settings, name))) for name in fields]


def _display(field: FieldInfo, value: object) -> str:
    if value is None:
        return "(not set)"
    if not isinstance(value, SecretStr):
        return ",".join(map(str, value)) if isinstance(value, list | tuple | set) else str(value)
    if not _is_dsn(field):
        return MASK
    parts = urlsplit(value.get_secret_value())
    # The query may carry a password too.
    return f"{parts.scheme}://{MASK}@{parts.netloc.rpartition('@')[2]}{parts.path}"


def _shared_name(cls: type[Settings], field: str) -> list[str]:
    return [cls.SHARED[field]] if field in cls.SHARED else []


def _read(
    given: dict[str, str],
    faults: dict[str, str],
    env: Mapping[str, str],
    field: str,
    names: list[str],
) -> None:
    """Put the value of the first of `names` that is set into `given`, or a fault into `faults`."""
    for name in names:
        path = env.get(f"{name}_FILE")
        if path is not None and name in env:
            faults[name] = f"given twice, also as {name}_FILE"
        elif path is not None:
            try:
                given[field] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                faults[f"{name}_FILE"] = f"cannot be read ({type(error).__name__})"
        elif name in env:
            given[field] = env[name]
        else:
            continue
        return


def _refuse_weak_secrets(
    cls: type[Settings],
    given: Mapping[str, str],
    faults: dict[str, str],
    names: Mapping[str, str],
) -> None:
    profile = cls.model_fields.get("profile")
    if given.get("profile", profile.default if profile else None) in ("demo", "test"):
        return
    for field, info in cls.model_fields.items():
        if not _is_secret(info) or _is_dsn(info):
            continue
        default = info.default.get_secret_value() if isinstance(info.default, SecretStr) else None
        value = given.get(field, default)
        if value is not None and (not value or value == default or value.lower() in WEAK):
            faults[names[field]] = "an empty or default secret is refused outside the profile demo"


def _validated(
    cls: type[AnySettings],
    given: Mapping[str, str],
    faults: dict[str, str],
    names: Mapping[str, str],
) -> AnySettings | None:
    """The settings, or None after adding to `faults`, which may hold some already."""
    values = {name: _split(cls.model_fields[name], value) for name, value in given.items()}
    try:
        settings = cls.model_validate(values)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            field = str(fault["loc"][0]) if fault["loc"] else ""
            name = names.get(field, "settings")
            unread = {name, *(f"{n}_FILE" for n in [name, *_shared_name(cls, field)])}
            if unread.isdisjoint(faults):
                faults[name] = _message(
                    fault["type"], fault["msg"], [name, *_shared_name(cls, field)]
                )
        return None
    return None if faults else settings


def _message(kind: str, message: str, names: list[str]) -> str:
    if kind != "missing":
        return message.removeprefix("Value error, ")
    also = "".join(f" (or {name})" for name in names[1:])
    return f"is missing; set it{also} or a path in {names[0]}_FILE"


def _split(field: FieldInfo, value: str) -> object:
    if get_origin(field.annotation) in (list, tuple, set, frozenset):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def _is_dsn(field: FieldInfo) -> bool:
    return any(getattr(mark, "func", None) is _postgres_url for mark in field.metadata)
