"""Reacts to notifications of shops: each of their members who is meant gets a message in Telegram.

A message is a row of the table `telegram_message`, written in the transaction that finishes the
notification and deleted once Telegram has taken it. So each member gets it at least once, and twice
only if it is unknown whether Telegram took it: the process died before it deleted the row, or no
answer came. Whether others have got theirs makes no difference. The Bot API has no idempotency key.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from contracts import shop
from contracts.envelope import Envelope
from contracts.gateway import GatewayEvent
from contracts.shop import NotificationRequested
from libs.eventsourcing.codec import codec_of
from libs.jobs.queue import Backoff, Queue
from libs.jobs.worker import Worker
from libs.messaging.reaction import Reaction, Schedule
from libs.postgres.pool import Connection
from libs.process.context import Context
from libs.process.lifecycle import Task
from services.gateway.accounts.handlers.identity import announce_nowhere, open_identity
from services.gateway.bot.notifications.handlers import deliver, recipients
from services.gateway.bot.notifications.stores import TABLE, Message
from services.gateway.settings import Settings
from services.gateway.telegram.adapters import open_configured_bot

NAME: Final = "notification"
ATTEMPTS: Final = 300
"""About a day; then the message is parked, and `jobs` lists it."""
FIRST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(minutes=5)

log = structlog.get_logger(__name__)


def notifications(context: Context[Settings, GatewayEvent]) -> Reaction[NotificationRequested]:
    """Queue the messages of each notification; they are sent within seconds.

    Without a bot notifications are ignored.
    """
    queue = Queue(context.system, TABLE)

    async def react(connection: Connection, envelope: Envelope[NotificationRequested]) -> None:
        event, tenant = envelope.event, envelope.tenant
        for account_id in await recipients(context.system, tenant, event.roles):
            message = Message(
                tenant=tenant,
                notification=event.notification,
                account_id=account_id,
                text=event.text,
            )
            await queue.put(message, source=connection)

    def schedule_of(event: NotificationRequested) -> Schedule | None:
        if context.settings.bot_token is None:
            return None
        return Schedule(f"notification {event.notification}", event.requested_at)

    return Reaction(
        name=NAME,
        topics=(shop.NOTIFICATIONS,),
        codec=codec_of((NotificationRequested,)),
        schedule_of=schedule_of,
        react_in_transaction=react,
    )


@asynccontextmanager
async def message_sender(context: Context[Settings, GatewayEvent]) -> AsyncIterator[Task]:
    """The task of workers that sends queued messages, if there is a bot."""
    settings = context.settings
    queue = Queue(context.system, TABLE)
    async with (
        open_configured_bot(settings) as bot,
        open_identity(settings, context.store, context.system, announce_nowhere) as identity,
    ):

        async def send(message: Message) -> None:
            failed = await deliver(identity, bot, message) if bot is not None else None
            if failed is None:
                await queue.finish(message)
                return
            # Telegram says how long to wait at least; repeated failures wait longer.
            first = max(FIRST, timedelta(seconds=failed.retry_after))
            retry = Backoff(attempts=ATTEMPTS, first=first, longest=max(first, LONGEST))
            error = f"Telegram: {failed.reason}"
            await queue.fail(worker.holder, message, error, retry, context.clock())
            log.warning("notification not sent", id=message.notification, reason=failed.reason)

        worker = Worker(
            name="telegram",
            queue=queue,
            run_job=send,
            doorbell=context.doorbell,
            clock=context.clock,
            claims=bot is not None,
            retry=None,
        )
        yield worker.run
