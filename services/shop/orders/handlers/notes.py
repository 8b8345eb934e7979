"""Comments and photos of an order. A photo's file is stored before the event announces it."""

from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from contracts.envelope import Sealed
from libs.errors import Refused, Unavailable
from libs.eventsourcing.claims import CLAIM, ClaimKey, Taken, claim_id, owner_of
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext, authorship
from services.shop.orders.domain.commands import AddComment, AddPhoto
from services.shop.orders.handlers.execution import carry_out, load
from services.shop.orders.handlers.sealing import seal, subject_of

COMMENT_IDS: Final = Numbers("order_comment_number")
PHOTO_IDS: Final = Numbers("order_photo_number")

UNCONFIRMED: Final = Counter(
    "shop_unconfirmed_photos",
    "Stored photos of which it is not known whether their order has them",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An image to add; `name` is that of the client's file."""

    name: str
    chunks: AsyncIterable[bytes]
    photo_type: str
    description: str | None


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
    command = await new_comment(context, order_id, text, metadata, customer_name=customer_name)
    await carry_out(context, order_id, command, metadata)
    return command.comment_id


async def new_comment(
    context: ApiContext, order_id: int, text: str, metadata: Metadata, *, customer_name: str | None
) -> AddComment:
    """The command of a comment, as `add_comment`. Raises Forgotten, Unavailable."""
    return AddComment(
        comment_id=await COMMENT_IDS.next(context.system),
        text=await seal(context, metadata.tenant, order_id, text) or Sealed(""),
        author=None if customer_name is not None else metadata.actor,
        customer_name=await seal(context, metadata.tenant, order_id, customer_name),
        **authorship(context, metadata),
    )


async def add_photo(
    context: ApiContext, order_id: int, image: Image, metadata: Metadata, *, key: str | None = None
) -> int:
    """Store an image, sealed with the key of the order, and add it. Returns its id.

    With a `key` safe to repeat and in parallel: the first photo is the result. Raises OrderUnknown,
    Forgotten, Unavailable, and as `Files.add_image`.
    """
    claims = [] if key is None else [claim_id("order-photo", f"{order_id} {key}")]
    for claim in claims:
        if (known := await owner_of(context.store, metadata.tenant, claim)) is not None:
            return int(known)
    await load(context, metadata.tenant, order_id)
    person = subject_of(metadata.tenant, order_id)
    sealed = await seal(context, metadata.tenant, order_id, image.description)
    file = await context.files.add_image(
        metadata.tenant,
        image.name,
        image.chunks,
        seal=(person.id, await context.vault.key_for(person)),
    )
    command = AddPhoto(
        photo_id=await PHOTO_IDS.next(context.system),
        file=file.name,
        photo_type=image.photo_type,
        description=sealed,
        **authorship(context, metadata),
    )
    return await _announce(context, order_id, command, claims, metadata)


async def _announce(
    context: ApiContext,
    order_id: int,
    command: AddPhoto,
    claims: Sequence[str],
    metadata: Metadata,
) -> int:
    """Append the event, or delete the file. The id of the photo that owns the claim."""
    owner = ClaimKey(str(command.photo_id))
    try:
        await carry_out(
            context, order_id, command, metadata, also={(CLAIM, one): owner for one in claims}
        )
    except Refused as refusal:
        with suppress(Unavailable):
            await context.files.remove(metadata.tenant, command.file)
        if isinstance(refusal, Taken):
            return int(refusal.owner)
        raise
    except BaseException:
        # The event may have been appended, so the file stays, and in the quota of the shop.
        UNCONFIRMED.inc()
        raise
    return command.photo_id
