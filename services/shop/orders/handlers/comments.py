"""The comments of an order, of staff and customer."""

from typing import Final

from contracts.envelope import Sealed
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext
from services.shop.orders.domain.commands import AddComment, ChangeComment
from services.shop.orders.handlers.execution import carry_out, load
from services.shop.orders.handlers.sealing import seal

COMMENT_IDS: Final = Numbers("order_comment_number")


async def add_comment(
    context: ApiContext,
    order_id: int,
    text: str,
    metadata: Metadata,
    *,
    customer_name: str | None = None,
) -> int:
    """Add a comment, and return its id; with `customer_name` the customer's.

    Raises OrderUnknown, Unavailable.
    """
    await load(context, metadata.tenant, order_id)
    comment_id = await COMMENT_IDS.next(context.system)
    sealed = await seal(context, metadata.tenant, order_id, text)
    command = AddComment(
        comment_id=comment_id,
        text=sealed or Sealed(""),
        author=None if customer_name is not None else metadata.actor,
        customer_name=await seal(context, metadata.tenant, order_id, customer_name),
        now=context.clock(),
    )
    await carry_out(context, order_id, command, metadata)
    return comment_id


async def change_comment(
    context: ApiContext, order_id: int, comment_id: int, text: str | None, metadata: Metadata
) -> None:
    """Replace the text of a comment, or remove it without a text. Raises CommentUnknown."""
    sealed = await seal(context, metadata.tenant, order_id, text)
    by, now = metadata.actor or "", context.clock()
    command = ChangeComment(comment_id=comment_id, text=sealed, by=by, now=now)
    await carry_out(context, order_id, command, metadata)
