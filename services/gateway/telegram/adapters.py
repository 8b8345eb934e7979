"""The Telegram Bot API: send messages, set the webhook; each failure is a value.

The bot's token stands in every address, so no address and no error of the HTTP client, which would
quote it, ever leaves this file.
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
from services.gateway.telegram.domain.bot_update import BUTTON, Button, Keyboard

CALL_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 3
"""The longest `retry_after` that is waited for while somebody waits for us."""
INFO_SECONDS: Final = 10.0
QUIET_CHATS: Final = 10_000
UNKNOWN: Final = ("chat not found", "user not found", "peer_id_invalid")

log = structlog.get_logger(__name__)


class Trouble(StrEnum):
    """Why Telegram did not do it."""

    BLOCKED = "blocked"
    """The person blocked the bot, never started it, or is gone."""
    UNKNOWN_CHAT = "unknown chat"
    LIMITED = "limited"
    """Too fast; see `retry_after`."""
    AWAY = "away"
    """No proper answer in time; whether it was done is unknown."""
    REFUSED = "refused"
    """Our mistake: a token or a request that Telegram does not accept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """It was not done. `retry_after` is in seconds, 0 if Telegram did not say."""

    trouble: Trouble
    retry_after: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """The message is in the chat."""

    message_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookInfo:
    """Where updates go; `url` is empty if nowhere."""

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
    """One bot. Make it with `open_bot`. Nothing here raises but cancellation."""

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
        """Send plain text, at most once unless Telegram said that it did not take it.

        `protect` keeps people from forwarding it. A short `retry_after` is waited for; a chat that
        Telegram wants left alone for longer is, until then.
        """
        params: dict[str, Any] = {"chat_id": chat, "text": text, "protect_content": protect}
        if buttons:
            rows = [[{"text": one.text, "callback_data": one.data}] for one in buttons]
            params["reply_markup"] = {"inline_keyboard": rows}
        elif keyboard is not None:
            params["reply_markup"] = _markup(keyboard)
        result = await self._patiently(chat, params)
        if isinstance(result, Failed):
            return result
        message_id = result.get("message_id", 0) if isinstance(result, Mapping) else 0
        return Sent(message_id=message_id)

    async def answer_callback(self, callback: str) -> Failed | None:
        """Say that a button was heard of, so that it stops waiting; None if it did."""
        result = await self._call("answerCallbackQuery", {"callback_query_id": callback})
        return result if isinstance(result, Failed) else None

    async def set_webhook(self, url: str, *, secret: str) -> Failed | None:
        """Have updates sent to `url` with `secret` in a header; None if so. Safe to repeat."""
        kinds = ["message", "callback_query"]
        params = {"url": url, "secret_token": secret, "allowed_updates": kinds}
        result = await self._call("setWebhook", params)
        self._info = None
        return result if isinstance(result, Failed) else None

    async def webhook_info(self) -> WebhookInfo | Failed:
        """Where updates go, as Telegram said at most `INFO_SECONDS` ago."""
        if self._info is not None and self._now() - self._info[0] < INFO_SECONDS:
            return self._info[1]
        result = await self._call("getWebhookInfo", {})
        info = result if isinstance(result, Failed) else _webhook_info(result)
        self._info = self._now(), info
        return info

    async def _patiently(self, chat: int, params: Mapping[str, Any]) -> Any:
        """The result of sendMessage, after one wait at most."""
        left = self._quiet_until.get(chat, 0.0) - self._now()
        if left > PATIENCE_SECONDS:
            return Failed(trouble=Trouble.LIMITED, retry_after=ceil(left))
        if left > 0:
            await self._pause(left)
        result = await self._call("sendMessage", params)
        if not _is_limited(result):
            return result
        self._leave_alone(chat, result.retry_after)
        if result.retry_after > PATIENCE_SECONDS or left > 0:
            return result
        await self._pause(result.retry_after)
        result = await self._call("sendMessage", params)
        if _is_limited(result):
            self._leave_alone(chat, result.retry_after)
        return result

    def _leave_alone(self, chat: int, seconds: int) -> None:
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
            return Failed(trouble=Trouble.AWAY)
        answer = _read(body)
        if answer is None:
            log.warning("telegram away", method=method, reason=f"status {status}")
            return Failed(trouble=Trouble.AWAY)
        if answer.ok:
            return answer.result
        failed = _failure(answer, status)
        log.warning("telegram refused", method=method, trouble=failed.trouble, status=status)
        return failed


@asynccontextmanager
async def open_bot(url: str, token: str) -> AsyncIterator[Bot]:
    """The bot with this token at the Bot API at `url`, its connections closed at the end."""
    async with open_client(total_seconds=CALL_SECONDS, connections=20) as session:
        yield Bot(session, url=url, token=token)


def webhook_secret(token: str) -> str:
    """What Telegram shows us in a header, so that we know it: follows from the token, not back."""
    return hmac.new(token.encode(), b"tillstream webhook 1", hashlib.sha256).hexdigest()


def _is_limited(result: object) -> bool:
    return isinstance(result, Failed) and result.trouble is Trouble.LIMITED


def _read(body: bytes) -> _Answer | None:
    try:
        return _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _failure(answer: _Answer, status: int) -> Failed:
    """What an answer that is not ok means. Its `description` is for people, but all there is."""
    match answer.error_code or status:
        case 429:
            seconds = max(1, answer.parameters.retry_after)
            return Failed(trouble=Trouble.LIMITED, retry_after=seconds)
        case 403:
            return Failed(trouble=Trouble.BLOCKED)
        case 400 if any(text in answer.description.lower() for text in UNKNOWN):
            return Failed(trouble=Trouble.UNKNOWN_CHAT)
        case code if code >= 500:
            return Failed(trouble=Trouble.AWAY)
        case _:
            return Failed(trouble=Trouble.REFUSED)


def _webhook_info(result: object) -> WebhookInfo | Failed:
    if not isinstance(result, Mapping):
        return Failed(trouble=Trouble.AWAY)
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
