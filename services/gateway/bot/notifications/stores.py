"""Messages that are still to be sent: one per notification and member."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.jobs.table import JobTable


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What a member of the shop `tenant` is to get. The text holds no personal data."""

    tenant: str
    notification: str
    account_id: UUID
    text: str


TABLE: Final = JobTable(
    "telegram_message",
    Message,
    key={"tenant": "text", "notification": "text", "account_id": "uuid"},
)
