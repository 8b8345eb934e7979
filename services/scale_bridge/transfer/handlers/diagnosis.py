"""Which product a scale cannot import: by halves, never emptying the scale (R15)."""

from services.scale_bridge.driver.domain.document import Document, key_of, products
from services.scale_bridge.driver.domain.fault import ImportFailed, ScaleFault
from services.scale_bridge.transfer.handlers.attempts import Attempts


async def culprit(
    attempts: Attempts, document: Document, fault: ImportFailed
) -> tuple[str, ImportFailed] | None:
    """The first product that the scale refuses by itself, and what the scale says to it.

    None if there is no such product, or no time, or the scale fails in another way. Halves that
    are good are merged into the scale on the way, which is what they were sent for.
    """
    items, said = list(products(document)), fault
    while len(items) > 1:
        half = items[: len(items) // 2]
        try:
            found = await _refused(attempts, {**document, "products": half})
        except ScaleFault:
            return None
        items, said = (half, found) if found else (items[len(half) :], said)
    try:
        found = await _refused(attempts, {**document, "products": items}) if items else None
    except ScaleFault:
        return None
    return (key_of(items[0]), found) if found else None


async def _refused(attempts: Attempts, document: Document) -> ImportFailed | None:
    """What the scale says against it, None if it imports it. Raises ScaleFault."""
    try:
        await attempts.upload_once(document)
    except ImportFailed as fault:
        return fault
    return None
