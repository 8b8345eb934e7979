"""The Bot API on loopback: a bot's token in the path, JSON in, `ok` and `result` or an error out.

It speaks as documented: 401 for another token, 403 of whoever blocked the bot, 400 for a chat it
never saw, 429 with `parameters.retry_after`; and it brings updates to the webhook that was set.
"""

import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from libs.testing.servers import http_server

TOKEN = "123456789:AAF3wq-5Lq0ZzExampleExampleExample0"
CHAT = 4242
"""A Telegram account that the bot may write to."""
SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
LONGEST = 4096


@dataclass
class BotApi:
    """The fake. `chats` are those who started the bot; `limits` are answered first, one per call.

    `crooked` answers in its stead, whatever was asked.
    """

    url: str = ""
    chats: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)
    limits: deque[int] = field(default_factory=deque)
    messages: list[Mapping[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    webhook: str = ""
    secret: str = ""
    crooked: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        self.calls.append(method)
        if self.crooked is not None:
            return await self.crooked(request)
        if request.match_info["token"] != TOKEN:
            return error(401, "Unauthorized")
        if self.limits:
            return too_fast(self.limits.popleft())
        params = await request.json() if request.can_read_body else {}
        match method:
            case "sendMessage":
                return self._send_message(params)
            case "setWebhook":
                return self._set_webhook(params)
            case "answerCallbackQuery":
                return result(bool(params["callback_query_id"]))
            case "getWebhookInfo":
                return result({"url": self.webhook, "pending_update_count": 0})
            case _:
                return error(404, "Not Found")

    async def bring(self, update: Mapping[str, Any]) -> int:
        """Bring an update to the webhook; the status of its answer."""
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.secret}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.webhook, json=update, headers=headers) as answer,
        ):
            return answer.status

    def last_to(self, chat: int) -> Mapping[str, Any]:
        return [message for message in self.messages if message["chat_id"] == chat][-1]

    def _send_message(self, params: Mapping[str, Any]) -> web.Response:
        chat, text = params.get("chat_id"), params.get("text")
        if not isinstance(text, str) or not text:
            return error(400, "Bad Request: message text is empty")
        if len(text) > LONGEST:
            return error(400, "Bad Request: message is too long")
        if chat in self.blocked:
            return error(403, "Forbidden: bot was blocked by the user")
        if chat not in self.chats:
            return error(400, "Bad Request: chat not found")
        self.messages.append(params)
        return result({"message_id": len(self.messages), "chat": {"id": chat}, "text": text})

    def _set_webhook(self, params: Mapping[str, Any]) -> web.Response:
        url, secret = params.get("url", ""), params.get("secret_token", "")
        if not url.startswith(("https://", "http://127.0.0.1:")):
            return error(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        if secret and not SECRET.fullmatch(secret):
            return error(400, "Bad Request: secret token contains unallowed characters")
        self.webhook, self.secret = url, secret
        return result(True)


def result(value: object) -> web.Response:
    return web.json_response({"ok": True, "result": value})


def error(code: int, description: str, **more: object) -> web.Response:
    said = {"ok": False, "error_code": code, "description": description}
    return web.json_response(said | more, status=code)


def too_fast(seconds: int) -> web.Response:
    text = f"Too Many Requests: retry after {seconds}"
    return error(429, text, parameters={"retry_after": seconds})


@asynccontextmanager
async def open_bot_api() -> AsyncIterator[BotApi]:
    """A fake of its own, on a free port."""
    fake = BotApi()
    app = web.Application()
    app.router.add_route("*", "/bot{token:[^/]+}/{method}", fake.answer)
    async with http_server(app) as fake.url:
        yield fake
