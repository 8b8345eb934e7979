"""Finding the members who get a notification, and sending it to one of them."""

from collections.abc import Collection, Sequence
from typing import Final

from contracts.gateway import AccountId
from libs.postgres.pool import Pool
from services.gateway.accounts.domain.account import AccountUnknown
from services.gateway.accounts.domain.shop import workspace_of_shop
from services.gateway.accounts.domain.shop_role import parse_shop_role
from services.gateway.accounts.handlers.identity import Identity, profile
from services.gateway.accounts.read_models import account as accounts
from services.gateway.bot.notifications.stores import Message
from services.gateway.realms.shop.handlers.staff import MOST
from services.gateway.telegram.adapters import Bot, Failed, FailureReason
from services.gateway.telegram.stores.links import TelegramLinks

UNREACHABLE: Final = (FailureReason.BLOCKED, FailureReason.UNKNOWN_CHAT)


async def recipients(pool: Pool, tenant: str, roles: Collection[str]) -> Sequence[AccountId]:
    """The active members of the shop with one of the roles, by the read model.

    Raises Unavailable.
    """
    workspace = workspace_of_shop(tenant)
    page = await accounts.in_workspace(pool, workspace, active=True, limit=MOST)
    found = []
    for row in page.accounts:
        shop_role = parse_shop_role(row.role_in(workspace) or "")
        if shop_role is not None and shop_role.active and shop_role.role in roles:
            found.append(row.account_id)
    return found


async def deliver(identity: Identity, bot: Bot, message: Message) -> Failed | None:
    """Send a message to the chat that the member has now; a failure that may pass, else None.

    Members without a chat, and those who blocked the bot, get nothing. Raises Unavailable.
    """
    chat = await _chat_of(identity, AccountId(message.account_id))
    if chat is None:
        return None
    sent = await bot.send_message(chat, message.text)
    return sent if isinstance(sent, Failed) and sent.reason not in UNREACHABLE else None


async def _chat_of(identity: Identity, account_id: AccountId) -> int | None:
    try:
        person = (await profile(identity, account_id)).person
    except AccountUnknown:
        return None
    links = TelegramLinks(identity.pool, seal=identity.seal)
    linked = await links.chat_of(person.phone) if person.phone else None
    return person.telegram_id if linked is None else linked
