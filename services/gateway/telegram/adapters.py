"""The Telegram Bot API: send messages, set the webhook; failures are returned as values.

The bot's token is part of every URL: no URL and no error of the HTTP client, which may quote it,
leaves this module.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any, Final

import aiohttp
import msgspec
import structlog

from libs.http.client import open_client
from services.gateway.settings import Settings
from services.gateway.telegram.domain.bot_update import BUTTON, Button, Keyboard

CALL_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 3
"""The longest `retry_after` that `send_message` waits for."""
INFO_SECONDS: Final = 10.0
QUIET_CHATS: Final = 10_000
UNKNOWN: Final = ("chat not found", "user not found", "peer_id_invalid")

log = structlog.get_logger(__name__)


class FailureReason(StrEnum):
    """Why a call failed."""

    BLOCKED = "blocked"
    """The person blocked the bot, never started it, or is gone."""
    UNKNOWN_CHAT = "unknown chat"
    LIMITED = "limited"
    """Too many requests; see `retry_after`."""
    AWAY = "away"
    """No valid answer in time; whether the call was done is unknown."""
    REFUSED = "refused"
    """A token or a request that Telegram does not accept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A failed call. `retry_after` is in seconds, 0 if unknown."""

    reason: FailureReason
    retry_after: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A sent message."""

    message_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookInfo:
    """The state of the webhook; `url` is empty without one."""

    url: str
    pending_update_count: int
    last_error_date: int | None
    last_error_message: str | None


class _Parameters(msgspec.Struct):
    retry_after: int = 0


class _Answer(msgspec.Struct):
    ok: bool
    result: Any = None
    error_code: int = 0
    description: str = ""
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)


_ANSWER: Final = msgspec.json.Decoder(_Answer)


class Bot:
    """The client of one bot: see `open_bot`. Methods raise nothing but cancellation."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: str,
        token: str,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token = token
        self._pause = pause
        self._now = now
        self._quiet_until: dict[int, float] = {}
        self._info: tuple[float, WebhookInfo | Failed] | None = None

    async def send_message(
        self,
        chat: int,
        text: str,
        *,
        keyboard: Keyboard | None = None,
        buttons: Sequence[Button] = (),
        protect: bool = False,
    ) -> Sent | Failed:
        """Send plain text; retried once, only if Telegram limited the first attempt.

        `protect` prevents forwarding. A short `retry_after` is waited for; for a longer one the
        chat gets no messages until then.
        """
        params: dict[str, Any] = {"chat_id": chat, "text": text, "protect_content": protect}
        if buttons:
            rows = [[{"text": one.text, "callback_data": one.data}] for one in buttons]
            params["reply_markup"] = {"inline_keyboard": rows}
        elif keyboard is not None:
            params["reply_markup"] = _markup(keyboard)
        result = await self._send_with_retry(chat, params)
        if isinstance(result, Failed):
            return result
        message_id = result.get("message_id", 0) if isinstance(result, Mapping) else 0
        return Sent(message_id=message_id)

    async def answer_callback(self, callback: str) -> Failed | None:
        """Acknowledge a pressed button, so that it stops waiting; None on success."""
        result = await self._call("answerCallbackQuery", {"callback_query_id": callback})
        return result if isinstance(result, Failed) else None

    async def set_webhook(self, url: str, *, secret: str) -> Failed | None:
        """Set the webhook, with `secret` in a header; None on success. Safe to repeat."""
        kinds = ["message", "callback_query"]
        params = {"url": url, "secret_token": secret, "allowed_updates": kinds}
        result = await self._call("setWebhook", params)
        self._info = None
        return result if isinstance(result, Failed) else None

    async def webhook_info(self) -> WebhookInfo | Failed:
        """The state of the webhook, cached for `INFO_SECONDS`."""
        if self._info is not None and self._now() - self._info[0] < INFO_SECONDS:
            return self._info[1]
        result = await self._call("getWebhookInfo", {})
        info = result if isinstance(result, Failed) else _webhook_info(result)
        self._info = self._now(), info
        return info

    async def _send_with_retry(self, chat: int, params: Mapping[str, Any]) -> Any:
        """The result of sendMessage, after one wait and retry at most."""
        wait = self._quiet_until.get(chat, 0.0) - self._now()
        if wait > PATIENCE_SECONDS:
            return Failed(reason=FailureReason.LIMITED, retry_after=ceil(wait))
        if wait > 0:
            await self._pause(wait)
        result = await self._call("sendMessage", params)
        if not _is_limited(result):
            return result
        self._pause_chat(chat, result.retry_after)
        if result.retry_after > PATIENCE_SECONDS or wait > 0:
            return result
        await self._pause(result.retry_after)
        result = await self._call("sendMessage", params)
        if _is_limited(result):
            self._pause_chat(chat, result.retry_after)
        return result

    def _pause_chat(self, chat: int, seconds: int) -> None:
        if len(self._quiet_until) >= QUIET_CHATS:
            self._quiet_until.pop(next(iter(self._quiet_until)))
        self._quiet_until[chat] = self._now() + seconds

    async def _call(self, method: str, params: Mapping[str, Any]) -> Any:
        """The `result` of a method, or `Failed`."""
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                self._session.post(
                    f"{self._url}/bot{self._token}/{method}", json=params, allow_redirects=False
                ) as response,
            ):
                status, body = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # The class alone: the error's text may quote the address.
            log.warning("telegram away", method=method, reason=type(error).__name__)
            return Failed(reason=FailureReason.AWAY)
        answer = _read(body)
        if answer is None:
            log.warning("telegram away", method=method, reason=f"status {status}")
            return Failed(reason=FailureReason.AWAY)
        if answer.ok:
            return answer.result
        failed = _failure(answer, status)
        log.warning("telegram refused", method=method, reason=failed.reason, status=status)
        return failed


@asynccontextmanager
async def open_bot(url: str, token: str) -> AsyncIterator[Bot]:
    """The client of the bot with this token at the Bot API at `url`, closed at exit."""
    async with open_client(total_seconds=CALL_SECONDS, connections=20) as session:
        yield Bot(session, url=url, token=token)


@asynccontextmanager
async def open_configured_bot(settings: Settings) -> AsyncIterator[Bot | None]:
    """The bot of the settings; None without a token."""
    if settings.bot_token is None:
        yield None
        return
    async with open_bot(settings.telegram_url, settings.bot_token) as bot:
        yield bot


def webhook_secret(token: str) -> str:
    """The secret in the header of Telegram's requests: an HMAC of the bot's token."""
    return hmac.new(token.encode(), b"tillstream webhook 1", hashlib.sha256).hexdigest()


def _is_limited(result: object) -> bool:
    return isinstance(result, Failed) and result.reason is FailureReason.LIMITED


def _read(body: bytes) -> _Answer | None:
    try:
        return _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _failure(answer: _Answer, status: int) -> Failed:
    """The failure of an answer that is not ok, in part by the text of its `description`."""
    match answer.error_code or status:
        case 429:
            seconds = max(1, answer.parameters.retry_after)
            return Failed(reason=FailureReason.LIMITED, retry_after=seconds)
        case 403:
            return Failed(reason=FailureReason.BLOCKED)
        case 400 if any(text in answer.description.lower() for text in UNKNOWN):
            return Failed(reason=FailureReason.UNKNOWN_CHAT)
        case code if code >= 500:
            return Failed(reason=FailureReason.AWAY)
        case _:
            return Failed(reason=FailureReason.REFUSED)


def _webhook_info(result: object) -> WebhookInfo | Failed:
    if not isinstance(result, Mapping):
        return Failed(reason=FailureReason.AWAY)
    return WebhookInfo(
        url=str(result.get("url", "")),
        pending_update_count=int(result.get("pending_update_count", 0)),
        last_error_date=result.get("last_error_date"),
        last_error_message=result.get("last_error_message"),
    )


def _markup(keyboard: Keyboard) -> dict[str, Any]:
    match keyboard:
        case Keyboard.ASK_CONTACT:
            button = {"text": BUTTON, "request_contact": True}
            return {"keyboard": [[button]], "resize_keyboard": True, "one_time_keyboard": True}
        case Keyboard.NONE:
            return {"remove_keyboard": True}
