"""The webhook of the Telegram bot (spec shop §2.1, §2.4)."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from fastapi import APIRouter, BackgroundTasks, Depends, HTTPException, Request, Response

from libs.errors import Unauthenticated
from libs.http.auth import public
from libs.http.body_limit import with_limit
from services.gateway.bot import handlers as bots
from services.gateway.context import Deps, Gateway
from services.gateway.telegram.adapters import Failed, webhook_secret

# Public: the webhook authenticates Telegram by its secret, and the status contains no secrets.
router = APIRouter(prefix="/api/telegram", tags=["telegram"], dependencies=[Depends(public)])

MAX_UPDATE_BYTES: Final = 256 * 1024
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name


@router.post("/webhook")
async def webhook(request: Request, gateway: Gateway, background: BackgroundTasks) -> Response:
    """Take an Update; 200 without a body as soon as it is done, the bot's answer follows.

    Anything but 200 makes Telegram send it again. 401 without its secret, 400 for what is no JSON,
    413 for a body no Update has.
    """
    _authenticate(request.headers.get(SECRET_HEADER, ""), gateway.settings.bot_token)
    body = await with_limit(request, MAX_UPDATE_BYTES).body()
    context = gateway.code_context
    answer = await bots.handle(
        context.links, gateway.identity, _decoded(body), codes=context.codes, clock=context.clock
    )
    if answer is not None and context.bot is not None:
        background.add_task(bots.send, context.bot, answer)
    return Response(status_code=200, background=background)


@router.get("/webhook/status")
async def webhook_status(gateway: Gateway) -> dict[str, Any]:
    """Whether updates come here: `not_initialized`, `active`, `inactive` or `error`."""
    bot = gateway.code_context.bot
    if bot is None:
        return {"status": "not_initialized"}
    info = await bot.webhook_info()
    if isinstance(info, Failed):
        return {"status": "error", "error": info.reason}
    return {
        "status": "active" if info.url else "inactive",
        "url": info.url,
        "pending_update_count": info.pending_update_count,
        "last_error_date": info.last_error_date,
        "last_error_message": info.last_error_message,
    }


@asynccontextmanager
async def webhook_registered(deps: Deps) -> AsyncIterator[None]:
    """Register the webhook with Telegram in the background, while the API already answers."""
    bot, token = deps.code_context.bot, deps.settings.bot_token
    url = deps.settings.telegram_webhook_url
    if bot is None or url is None or token is None:
        yield
        return
    registering = bots.set_webhook(bot, url, secret=webhook_secret(token))
    registration = asyncio.create_task(registering)
    try:
        yield
    finally:
        registration.cancel()
        await asyncio.gather(registration, return_exceptions=True)


def _authenticate(header: str, token: str | None) -> None:
    if token is None or not hmac.compare_digest(header.encode(), webhook_secret(token).encode()):
        raise Unauthenticated


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, "An Update is JSON") from error
