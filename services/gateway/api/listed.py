"""Lists show what their reader has just changed: whoever changes it waits until they do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog

from contracts.gateway import AccountId
from libs.security.api_keys import hash_key
from services.gateway.adapters.known_keys import KeysUnavailable
from services.gateway.deps import Deps
from services.gateway.domain.realm import Place
from services.gateway.handlers.member import Member
from services.gateway.read_models import account as accounts
from services.gateway.read_models.account import AccountRow

PAUSE: Final = 0.02
"""Seconds between two looks."""

Holds: TypeAlias = Callable[[AccountRow], bool]

log = structlog.get_logger(__name__)


async def until_listed(gateway: Deps, changed: Member, place: Place) -> None:
    """Wait until lists have the member like this, or `stale_wait_seconds` are over."""

    def holds(row: AccountRow) -> bool:
        is_it = row.role_in(place) == changed.role and row.active == changed.active
        return is_it and row.changed_at >= changed.changed_at

    await _until(gateway, changed.account_id, holds)


async def until_gone(gateway: Deps, account_id: AccountId, place: Place) -> None:
    """Wait until lists do not have the member any more, or `stale_wait_seconds` are over."""

    def holds(row: AccountRow) -> bool:
        return row.removed_at is not None or row.role_in(place) is None

    await _until(gateway, account_id, holds)


async def until_known(gateway: Deps, key: str) -> None:
    """Wait until the API key opens doors, or `stale_wait_seconds` are over."""
    hashed = hash_key(key)
    await _come(gateway, lambda: gateway.keys.known_from_now(hashed))


async def _until(gateway: Deps, account_id: AccountId, holds: Holds) -> None:
    async def is_listed() -> bool:
        row = await accounts.by_id(gateway.pool, account_id)
        return row is not None and holds(row)

    await _come(gateway, is_listed)


async def _come(gateway: Deps, happened: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(gateway.settings.stale_wait_seconds):
            while not await happened():
                await asyncio.sleep(PAUSE)
    except (KeysUnavailable, TimeoutError):
        # It is done; the answer must say so, whatever a list says in the next moment.
        log.warning("lists are behind", seconds=gateway.settings.stale_wait_seconds)
