"""Init data of a Telegram Mini App: parsed, and verified by the bot's token."""

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

from libs.errors import Refused, Unauthenticated

MAX_LENGTH: Final = 8192
MAX_FIELDS: Final = 32
MAX_AGE: Final = timedelta(hours=24)
AHEAD: Final = timedelta(minutes=2)
"""How far Telegram's clock may be ahead of ours."""
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SECONDS: Final = re.compile(r"[0-9]{1,11}")
_LARGEST_ID: Final = 2**52


class InitDataMalformed(Refused):
    """The init data is not what Telegram makes."""


class InitDataForged(Unauthenticated):
    """The init data was not signed for this bot, or was changed since."""


class InitDataStale(Unauthenticated):
    """The init data is too old, or from the future."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TelegramCaller:
    """The user who opened the Mini App. `fingerprint` may log in once (spec shop §2.4)."""

    telegram_id: int
    first_name: str
    last_name: str
    username: str
    auth_date: datetime
    fingerprint: str


def caller_of(
    init_data: str, *, bot_token: str, now: datetime, max_age: timedelta = MAX_AGE
) -> TelegramCaller:
    """Verify init data as Telegram prescribes (spec shop §2.4); its user.

    The order and the percent-encoding of fields are not signed. Raises InitDataMalformed,
    InitDataForged, InitDataStale; ValueError without a bot token.
    """
    fields = _fields(init_data)
    fingerprint = fields.pop("hash", "")
    if not _HASH.fullmatch(fingerprint):
        raise InitDataMalformed
    expected = sign(fields, bot_token)
    if not hmac.compare_digest(expected.encode(), fingerprint.encode()):
        raise InitDataForged
    # The content counts only after the signature was verified.
    auth_date = _auth_date(fields)
    if now - auth_date > max_age or auth_date - now > AHEAD:
        raise InitDataStale
    user = _user(fields)
    return TelegramCaller(
        telegram_id=user["id"],
        first_name=_text(user, "first_name"),
        last_name=_text(user, "last_name"),
        username=_text(user, "username"),
        auth_date=auth_date,
        fingerprint=fingerprint,
    )


def sign(fields: dict[str, str], bot_token: str) -> str:
    """The `hash` of decoded fields, blank ones included: 64 hexadecimal digits."""
    if not bot_token:
        raise ValueError("an empty token signs for anybody")
    lines = "\n".join(f"{name}={value}" for name, value in sorted(fields.items()))
    key = hmac.new(b"WebAppData", bot_token.encode(), hashlib.sha256).digest()
    return hmac.new(key, lines.encode(), hashlib.sha256).hexdigest()


def _fields(init_data: str) -> dict[str, str]:
    if len(init_data) > MAX_LENGTH:
        raise InitDataMalformed
    try:
        pairs = parse_qsl(
            init_data,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
        # A lone surrogate has no bytes that could have been signed.
        init_data.encode()
    except ValueError as error:
        raise InitDataMalformed from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        # Repeated fields are ambiguous.
        raise InitDataMalformed
    return fields


def _auth_date(fields: dict[str, str]) -> datetime:
    seconds = fields.get("auth_date", "")
    if not _SECONDS.fullmatch(seconds):
        raise InitDataMalformed
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise InitDataMalformed from error


def _user(fields: dict[str, str]) -> dict[str, Any]:
    """The user, whose field is JSON."""
    try:
        user = json.loads(fields.get("user", ""))
    except (ValueError, RecursionError) as error:
        raise InitDataMalformed from error
    if not isinstance(user, dict) or type(user.get("id")) is not int:
        raise InitDataMalformed
    if not 0 < user["id"] < _LARGEST_ID:
        raise InitDataMalformed
    return user


def _text(user: dict[str, Any], name: str) -> str:
    value = user.get(name, "")
    return value if isinstance(value, str) else ""
