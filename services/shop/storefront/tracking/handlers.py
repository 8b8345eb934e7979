"""Finding an order by its link or number, and what its customer may do (spec shop §4.9, §8, S9).

A link has the `tracking_token` of the order, which cannot be guessed: it opens all of this. The
`number` has nine digits, so it can be guessed: it shows the state of an order and no person.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from libs.contact import first_name, is_unchanged, mask_address, mask_phone
from libs.errors import Forbidden
from libs.eventsourcing.log import Metadata
from services.shop.context import ApiContext, authorship
from services.shop.customers.domain.person import normal_phone
from services.shop.orders.domain.commands import ChangeAddress, RatePhoto
from services.shop.orders.domain.contact import Contact
from services.shop.orders.domain.order import OrderUnknown
from services.shop.orders.handlers.execution import carry_out, load
from services.shop.orders.handlers.sealing import open_contact, seal, seal_all
from services.shop.orders.read_models import queries

CUSTOMER: Final = "customer"
"""The actor of what a customer does without a login."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER: Final = re.compile(r"[0-9]{9}")
MASKS: Final = {
    "address": mask_address,
    "recipient_phone": mask_phone,
    "recipient_name": first_name,
}
"""How the page shows what it lets customers change, by field of `Contact`."""


class LinkNeeded(Forbidden):
    """Откройте заказ по ссылке из подтверждения: номера недостаточно"""


@dataclass(frozen=True, slots=True)
class Tracked:
    """An order that a link or a number names."""

    tenant: str
    order_id: int
    by_number: bool

    def metadata(self, correlation_id: str | None, traceparent: str | None) -> Metadata:
        """The metadata of what its customer does."""
        return Metadata(
            tenant=self.tenant,
            actor=CUSTOMER,
            correlation_id=correlation_id,
            traceparent=traceparent,
        )


async def find(context: ApiContext, token: str) -> Tracked:
    """The order of a link or of a number, in whichever shop. Raises OrderUnknown, Unavailable."""
    by_number = _NUMBER.fullmatch(token) is not None
    if not by_number and _TOKEN.fullmatch(token) is None:
        raise OrderUnknown
    column = "number" if by_number else "tracking_token"
    located = await queries.locate(context.system, **{column: token})
    if located is None:
        raise OrderUnknown
    return Tracked(*located, by_number)


async def find_by_link(context: ApiContext, token: str) -> Tracked:
    """The order of a link. Raises LinkNeeded for any number, OrderUnknown, Unavailable."""
    if _NUMBER.fullmatch(token):
        raise LinkNeeded
    return await find(context, token)


async def change_address(
    context: ApiContext, order_id: int, given: Mapping[str, str | None], metadata: Metadata
) -> Contact:
    """Replace address and recipient of an order, and return its contact.

    The page fills its form with masked values: those that come back as they were, or empty, stay
    what they are. Raises OrderUnknown, AddressIsFixed, BadPhone, Unavailable.
    """
    order = await load(context, metadata.tenant, order_id)
    contact = await open_contact(context, metadata.tenant, order)
    changes = _changes(contact, given)
    sealed = await seal_all(context, metadata.tenant, order_id, changes)
    command = ChangeAddress(changes=sealed, **authorship(context, metadata))
    await carry_out(context, order_id, command, metadata)
    return replace(contact, **changes)


def _changes(contact: Contact, given: Mapping[str, str | None]) -> Mapping[str, str]:
    changes = {
        name: text.strip()
        for name, mask in MASKS.items()
        if not is_unchanged(text := given.get(name) or "", getattr(contact, name) or "", mask)
    }
    if "recipient_phone" in changes:
        changes["recipient_phone"] = normal_phone(changes["recipient_phone"])
    return changes


async def rate_photo(
    context: ApiContext,
    order_id: int,
    photo_id: int,
    feedback: str,
    comment: str | None,
    metadata: Metadata,
) -> None:
    """Rate a photo, once. Raises OrderUnknown, PhotoUnknown, AlreadyRated, Unavailable."""
    sealed = await seal(context, metadata.tenant, order_id, comment)
    command = RatePhoto(
        photo_id=photo_id, feedback=feedback, comment=sealed, **authorship(context, metadata)
    )
    await carry_out(context, order_id, command, metadata)
