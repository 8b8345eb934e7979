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
from services.gateway.bot import handlers as bots
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.shop_route import limited
from services.gateway.telegram.adapters import Failed

# Open to everybody by name: the webhook knows Telegram by its secret, the status tells nothing.
router = APIRouter(prefix="/api/telegram", tags=["telegram"], dependencies=[Depends(public)])

MAX_UPDATE_BYTES: Final = 256 * 1024
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name


@router.post("/webhook/", include_in_schema=False)
@router.post("/webhook")
async def webhook(request: Request, gateway: Gateway, later: BackgroundTasks) -> Response:
    """Take an Update; 200 without a body as soon as it is done, the bot's answer follows.

    Anything but 200 makes Telegram send it again. 401 without its secret, 400 for what is no JSON,
    413 for a body no Update has.
    """
    _authenticate(request.headers.get(SECRET_HEADER, ""), gateway.webhook_secret)
    body = await Request(request.scope, limited(request, MAX_UPDATE_BYTES)).body()
    context = gateway.code_context
    answer = await bots.handle(
        context.links, gateway.identity, _decoded(body), codes=context.codes, clock=context.clock
    )
    if answer is not None and context.bot is not None:
        later.add_task(bots.say, context.bot, answer)
    return Response(status_code=200, background=later)


@router.get("/webhook/status/", include_in_schema=False)
@router.get("/webhook/status")
async def webhook_status(gateway: Gateway) -> dict[str, Any]:
    """Whether updates come here: `not_initialized`, `active`, `inactive` or `error`."""
    bot = gateway.code_context.bot
    if bot is None:
        return {"status": "not_initialized"}
    info = await bot.webhook_info()
    if isinstance(info, Failed):
        return {"status": "error", "error": info.trouble}
    return {
        "status": "active" if info.url else "inactive",
        "url": info.url,
        "pending_update_count": info.pending_update_count,
        "last_error_date": info.last_error_date,
        "last_error_message": info.last_error_message,
    }


@asynccontextmanager
async def announced(deps: Deps) -> AsyncIterator[None]:
    """Tell Telegram where the webhook is, in the background: doors open without it."""
    bot, url, secret = (
        deps.code_context.bot,
        deps.settings.telegram_webhook_url,
        deps.webhook_secret,
    )
    if bot is None or url is None or secret is None:
        yield
        return
    setting = asyncio.create_task(bots.set_webhook(bot, url, secret=secret))
    try:
        yield
    finally:
        setting.cancel()
        await asyncio.gather(setting, return_exceptions=True)


def _authenticate(shown: str, secret: str | None) -> None:
    if secret is None or not hmac.compare_digest(shown.encode(), secret.encode()):
        raise Unauthenticated


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, "An Update is JSON") from error
