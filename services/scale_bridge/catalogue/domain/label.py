"""What a label says beside its product: texts, categories and templates, and who refers to them.

SCL-13. The texts, which scales call messages, can be edited here; a category or a template is only
referred to. Products refer by the entry's id (§3).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias, assert_never

from contracts.scale_bridge import MessageEdited, ScaleBridgeEvent
from libs.errors import NotFound, Refused
from services.scale_bridge.catalogue.domain.commands import DropMessage, SetMessage
from services.scale_bridge.catalogue.domain.difference import IDS
from services.scale_bridge.catalogue.domain.model import beyond_text
from services.scale_bridge.catalogue.domain.product import BadFields, BeyondModel, References
from services.scale_bridge.catalogue.domain.product_fields import is_sendable
from services.scale_bridge.driver.domain.document import Document, key_of, products, text_of

MESSAGES: Final = "messages"
CATEGORIES: Final = "categories"
TEMPLATES: Final = "labelTemplates"
REFERRING: Final[Mapping[str, str]] = {
    "message": MESSAGES,
    "category": CATEGORIES,
    "labelTemplate": TEMPLATES,
    "labelDiscountTemplate": TEMPLATES,
}
"""Which field of a product refers to which list."""
LONGEST_TEXT: Final = 4000
"""Of one message, whatever the model: the capacity of most models is unknown."""

Entry: TypeAlias = Mapping[str, Any]


class MessageUnknown(NotFound):
    """Message not found"""


class MessageInUse(Refused):
    """Текст стоит на этикетках товаров: сначала уберите его у них."""


class MessagesUnreadable(Refused):
    """Весы хранят тексты этикеток в незнакомом виде: здесь их изменить нельзя."""


def entries(document: Mapping[str, Any], name: str) -> Sequence[Entry]:
    """The entries of a list beside the products, as far as they are any."""
    found = document.get(name)
    if not isinstance(found, list):
        return ()
    return [one for one in found if isinstance(one, dict) and text_of(one.get(IDS[name]))]


def users(document: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    """The keys (see `key_of`) of the products that carry each message, by its id as text."""
    found: dict[str, list[str]] = {}
    for product in products(document):
        message = text_of(product.get("message"))
        if message is not None and product.get("deleted") is not True:
            found.setdefault(message, []).append(key_of(product))
    return found


def references(document: Mapping[str, Any], fields: Collection[str]) -> References:
    """What those of the fields that refer to something may be set to.

    A list that the scale does not have is not checked; a message must be there.
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


def with_message(document: Document | None, message: str, after: Entry) -> Document | None:
    """The catalogue with this entry in the place of the one it was, or behind all others."""
    if document is None:
        return None
    rows = list(document.get(MESSAGES) or ())
    places = [place for place, row in enumerate(rows) if _is(row, message)]
    for place in places:
        rows[place] = after
    return {**document, MESSAGES: rows if places else [*rows, after]}


def messages(
    revision: int, document: Document, command: SetMessage | DropMessage
) -> list[ScaleBridgeEvent]:
    """What is to be told of a text, at the revision after `revision`; nothing if it is so already.

    Raises MessagesUnreadable, MessageUnknown, MessageInUse, BadFields, or of it BeyondModel.
    """
    if not isinstance(document.get(MESSAGES), list | None):
        raise MessagesUnreadable
    before = next((e for e in entries(document, MESSAGES) if _is(e, command.message)), None)
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
    entry = before if before is not None else {"id": _id(document, command.message)}
    return {**entry, "value": value, "deleted": False}


def _dropped(document: Document, before: Entry | None, command: DropMessage) -> Entry:
    if before is None:
        raise MessageUnknown
    if before.get("deleted") is True:
        return before
    if command.message in users(document):
        raise MessageInUse
    return {**before, "deleted": True}


def _is(row: object, message: str) -> bool:
    return isinstance(row, dict) and text_of(row.get("id")) == message


def _id(document: Document, message: str) -> int | str:
    """The id of a new message, a text where all others are (§3)."""
    others = entries(document, MESSAGES)
    textual = bool(others) and all(isinstance(one["id"], str) for one in others)
    return message if textual else int(message)
