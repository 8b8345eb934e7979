"""The labels of a scale: texts, categories and templates (SCL-13)."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel

from services.scale_bridge.catalogue.domain import label
from services.scale_bridge.catalogue.domain.catalogue import DropMessage, SetMessage
from services.scale_bridge.catalogue.domain.difference import CATEGORIES, IDS, MESSAGES, TEMPLATES
from services.scale_bridge.catalogue.domain.model import limits_of
from services.scale_bridge.catalogue.domain.product import LARGEST_ID, BadFields
from services.scale_bridge.catalogue.handlers import catalogue as handler
from services.scale_bridge.context import (
    DEVICES_VISIBLE,
    Authored,
    Reader,
    Scales,
    Writer,
    own_device,
    unfit,
)
from services.scale_bridge.driver.domain.document import text_of

router = APIRouter(tags=["label"])

MessageId = Annotated[int, Path(ge=1, le=LARGEST_ID)]


class Text(BaseModel):
    """The text of a message, such as ingredients."""

    value: str


class Message(BaseModel):
    """A text, and the products that carry it, by PLU, or by code or id where there is none."""

    id: int | str
    value: str
    deleted: bool
    plus: list[str]


class Category(BaseModel):
    """A category that products may belong to."""

    id: int | str
    name: str
    number: int | str | None


class Template(BaseModel):
    """A label's template, with its size in millimetres."""

    id: int | str
    name: str | None
    width: float | None
    height: float | None
    deleted: bool


class Label(BaseModel):
    """Everything labels refer to, as the stored catalogue has it."""

    revision: int
    messages: list[Message]
    categories: list[Category]
    templates: list[Template]


@router.get("/devices/{device_id}/label")
async def read(scales: Scales, caller: Reader, device_id: int) -> Label:
    """The texts, categories and templates of the stored catalogue; empty without one."""
    device = await own_device(scales, caller, device_id)
    catalogue = (await handler.load(scales, caller.tenant, device.device_id)).catalogue
    document = catalogue.current_document
    return Label(
        revision=catalogue.revision,
        messages=_messages(document),
        categories=[_category(one) for one in label.entries(document, CATEGORIES)],
        templates=[_template(one) for one in label.entries(document, TEMPLATES)],
    )


@router.put("/devices/{device_id}/messages/{message_id}", dependencies=[DEVICES_VISIBLE])
async def put(
    scales: Scales,
    caller: Writer,
    metadata: Authored,
    device_id: int,
    message_id: MessageId,
    body: Text,
) -> Message:
    """Add or change a text; the scale gets it with the next upload. 409 without a catalogue."""
    device = await own_device(scales, caller, device_id)
    command = SetMessage(
        device_id=device.device_id,
        message=str(message_id),
        value=body.value,
        edited_by=caller.subject,
        now=scales.clock(),
        limits=limits_of(device.device.profile.model),
    )
    try:
        changed = await handler.change(scales, device.device_id, command, metadata)
    except BadFields as error:
        raise unfit(*(((name,), why) for name, why in error.reasons.items())) from None
    messages = _messages(changed.catalogue.current_document)
    return next(one for one in messages if text_of(one.id) == command.message)


@router.delete(
    "/devices/{device_id}/messages/{message_id}", status_code=204, dependencies=[DEVICES_VISIBLE]
)
async def delete(
    scales: Scales, caller: Writer, metadata: Authored, device_id: int, message_id: MessageId
) -> Response:
    """Delete a text; the scale forgets it with the next upload. 409 while products use it."""
    device = await own_device(scales, caller, device_id)
    command = DropMessage(
        device_id=device.device_id,
        message=str(message_id),
        edited_by=caller.subject,
        now=scales.clock(),
    )
    await handler.change(scales, device.device_id, command, metadata)
    return Response(status_code=204)


def _messages(document: Mapping[str, Any]) -> list[Message]:
    users = label.users(document)
    return [
        Message(
            id=_id(one, MESSAGES),
            value=_text(one.get("value")) or "",
            deleted=one.get("deleted") is True,
            plus=list(users.get(text_of(one["id"]) or "", ())),
        )
        for one in label.entries(document, MESSAGES)
    ]


def _category(entry: Mapping[str, Any]) -> Category:
    number = entry.get("number")
    return Category(
        id=_id(entry, CATEGORIES),
        name=_text(entry.get("name")) or "",
        number=number if isinstance(number, int | str) else None,
    )


def _template(entry: Mapping[str, Any]) -> Template:
    width, height = _numbers(entry.get("width"), entry.get("height"))
    return Template(
        id=_id(entry, TEMPLATES),
        name=_text(entry.get("name")),
        width=width,
        height=height,
        deleted=entry.get("deleted") is True,
    )


def _id(entry: Mapping[str, Any], name: str) -> int | str:
    """The id as a number if it is one: some scales write ids as text (§3)."""
    text = text_of(entry[IDS[name]]) or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else text


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _numbers(*values: object) -> Iterable[float | None]:
    return [float(v) if isinstance(v, int | float) else None for v in values]
