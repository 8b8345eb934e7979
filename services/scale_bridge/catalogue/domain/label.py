"""Labels: texts (which scales call messages), categories and templates, and references to them.

SCL-13. Texts can be edited; categories and templates can only be referred to. Products refer to an
entry by its id (§3).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias, assert_never

from contracts.scale_bridge import MessageEdited, ScaleBridgeEvent
from libs.errors import NotFound, Refused
from services.scale_bridge.catalogue.domain.catalogue import DropMessage, SetMessage
from services.scale_bridge.catalogue.domain.difference import (
    CATEGORIES,
    IDS,
    MESSAGES,
    TEMPLATES,
    has_id,
)
from services.scale_bridge.catalogue.domain.model import beyond_text
from services.scale_bridge.catalogue.domain.product import (
    BadFields,
    BeyondModel,
    References,
    is_sendable,
)
from services.scale_bridge.driver.domain.document import (
    Document,
    is_deleted,
    key_of,
    products,
    text_of,
)

REFERRING: Final[Mapping[str, str]] = {
    "message": MESSAGES,
    "category": CATEGORIES,
    "labelTemplate": TEMPLATES,
    "labelDiscountTemplate": TEMPLATES,
}
"""The list that a field of a product refers to."""
LONGEST_TEXT: Final = 4000
"""Of one message, for any model: the capacity of most models is unknown."""

Entry: TypeAlias = Mapping[str, Any]


class MessageUnknown(NotFound):
    """Message not found"""


class MessageInUse(Refused):
    """Текст стоит на этикетках товаров: сначала уберите его у них."""


class MessagesUnreadable(Refused):
    """Весы хранят тексты этикеток в незнакомом виде: здесь их изменить нельзя."""


def entries(document: Mapping[str, Any], name: str) -> Sequence[Entry]:
    """The entries of an auxiliary list that have an id."""
    items = document.get(name)
    if not isinstance(items, list):
        return ()
    return [one for one in items if isinstance(one, dict) and text_of(one.get(IDS[name]))]


def users(document: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    """The keys (see `key_of`) of the products that carry each message, by its id as text."""
    by_message: dict[str, list[str]] = {}
    for product in products(document):
        message = text_of(product.get("message"))
        if message is not None and not is_deleted(product):
            by_message.setdefault(message, []).append(key_of(product))
    return by_message


def references(document: Mapping[str, Any], fields: Collection[str]) -> References:
    """The ids that the referring ones of these fields may have.

    A list that the scale does not have is not checked; a message must exist.
    """
    return {
        field: {
            text_of(entry[IDS[name]]) or "": entry[IDS[name]]
            for entry in entries(document, name)
            if entry.get("deleted") is not True
        }
        for field, name in REFERRING.items()
        if field in fields and (name == MESSAGES or isinstance(document.get(name), list))
    }


def messages(
    revision: int, document: Document, command: SetMessage | DropMessage
) -> list[ScaleBridgeEvent]:
    """The event of a change of a text, which makes the revision after `revision`.

    Nothing if the text is as desired. Raises MessagesUnreadable, MessageUnknown, MessageInUse,
    BadFields, BeyondModel.
    """
    if not isinstance(document.get(MESSAGES), list | None):
        raise MessagesUnreadable
    before = next((e for e in entries(document, MESSAGES) if has_id(e, command.message)), None)
    match command:
        case SetMessage():
            after = _set(document, before, command)
        case DropMessage():
            after = _dropped(document, before, command)
        case _:
            assert_never(command)
    if after is before and not command.being_read:
        return []
    return [
        MessageEdited(
            device_id=command.device_id,
            revision=revision + 1,
            message=command.message,
            before=before,
            after=after,
            edited_by=command.edited_by,
            edited_at=command.now,
        )
    ]


def _set(document: Document, before: Entry | None, command: SetMessage) -> Entry:
    value = command.value
    if before is not None and before.get("value") == value and before.get("deleted") is not True:
        return before
    if not 1 <= len(value) <= LONGEST_TEXT or not is_sendable(value):
        raise BadFields({"value": f"must be a text of 1 to {LONGEST_TEXT} characters"})
    if why := beyond_text(command.limits, value):
        raise BeyondModel({"value": why})
    entry = before if before is not None else {"id": _new_id(document, command.message)}
    return {**entry, "value": value, "deleted": False}


def _dropped(document: Document, before: Entry | None, command: DropMessage) -> Entry:
    if before is None:
        raise MessageUnknown
    if before.get("deleted") is True:
        return before
    if command.message in users(document):
        raise MessageInUse
    return {**before, "deleted": True}


def _new_id(document: Document, message: str) -> int | str:
    """The id of a new message: text if all others are text (§3)."""
    others = entries(document, MESSAGES)
    textual = bool(others) and all(isinstance(one["id"], str) for one in others)
    return message if textual else int(message)
