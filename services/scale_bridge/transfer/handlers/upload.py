"""An upload: send what differs, read back, send again what is missing (R4, SCL-7).

If an import fails, the product that the scale refuses is searched by halves, with merging uploads
only, so that the scale is never emptied (R15).
"""

from dataclasses import replace
from typing import Final

from services.scale_bridge.catalogue.domain.auxiliary_lists import (
    EntryKey,
    deleted_messages,
    missing_entries,
    with_deletions,
)
from services.scale_bridge.catalogue.domain.readback import differing, extra, wrong
from services.scale_bridge.driver.adapters.operation import Fetched
from services.scale_bridge.driver.domain.document import (
    Document,
    by_key,
    is_deleted,
    key_of,
    products,
    select,
)
from services.scale_bridge.driver.domain.fault import ImportFailed, ScaleFault, UnknownOutcome
from services.scale_bridge.transfer.domain.failure_texts import (
    CONFIRMED_NOT_SHOWN,
    NOT_SHOWN,
    NOTHING_CACHED,
    UNCONFIRMED_NOT_SHOWN,
    sentence_of,
)
from services.scale_bridge.transfer.domain.kinds import Outcome
from services.scale_bridge.transfer.handlers.attempts import Attempts
from services.scale_bridge.transfer.handlers.device_task import Performed, failed, failed_by

ROUNDS: Final = 2
"""So often a catalogue is sent at most; the second time, what the read-back shows is missing."""


async def upload(attempts: Attempts) -> Performed:
    """Make the scale display the desired catalogue of the task."""
    device_task = attempts.device_task
    desired = device_task.desired
    if desired is None:
        return failed(NOTHING_CACHED)
    patch = desired if device_task.full else differing(device_task.known, desired)
    deleted, dropped = _deleted(patch), deleted_messages(patch)
    read: Fetched | None = None
    confirmed = False
    for number in range(ROUNDS):
        sent = await _send(
            attempts, patch, clear=device_task.full and number == 0, again=number > 0
        )
        if isinstance(sent, Performed):
            return sent
        if sent and not attempts.execution.read_back:
            return Performed(outcome=Outcome.DONE, items=len(products(desired)))
        back = await _read_back(attempts, confirmed=sent, nothing_sent=patch is None)
        if isinstance(back, Performed):
            return back
        read, confirmed = back, sent and patch is not None
        bad = _wrong_products(attempts, desired, read, deleted)
        entries = missing_entries(desired, read.document, known=device_task.known, gone=dropped)
        if not bad and not entries:
            items = len(products(desired))
            return Performed(outcome=Outcome.VERIFIED, read=read, items=items)
        patch = _remainder(desired, read, bad, entries)
    text = CONFIRMED_NOT_SHOWN if confirmed else UNCONFIRMED_NOT_SHOWN
    return Performed(outcome=Outcome.FAILED, code=NOT_SHOWN, detail=text, read=read, doubtful=True)


async def _send(
    attempts: Attempts, patch: Document | None, *, clear: bool, again: bool
) -> bool | Performed:
    """Whether the scale confirmed the import (True if there is nothing to send), or the failure."""
    if patch is None:
        return True
    try:
        sent = await attempts.upload(patch, clear=clear)
    except UnknownOutcome:
        return False
    except ImportFailed as fault:
        return await _diagnosed(attempts, patch, fault)
    except ScaleFault as fault:
        # An attempt with `clear` may have emptied the scale before it broke off; before a second
        # round the scale was read to display something else.
        return failed_by(fault, doubtful=clear or again)
    await attempts.listener.applied(sent.items)
    return True


async def _read_back(
    attempts: Attempts, *, confirmed: bool, nothing_sent: bool
) -> Fetched | Performed:
    """The catalogue on the scale; if it cannot be read, the result without a read-back (R4)."""
    desired = attempts.device_task.desired
    try:
        return await attempts.read()
    except ScaleFault as fault:
        if nothing_sent:
            return failed_by(fault)
        if confirmed:
            return Performed(outcome=Outcome.DONE, items=len(products(desired or {"products": []})))
        unknown = UnknownOutcome()
        return Performed(
            outcome=Outcome.UNKNOWN,
            code=unknown.code,
            detail=sentence_of(unknown),
            result=fault.result,
            doubtful=True,
        )


def _wrong_products(
    attempts: Attempts, desired: Document, read: Fetched, deleted: frozenset[str]
) -> frozenset[str]:
    """The keys of the products that the scale displays wrongly, or not at all, or must not have."""
    if attempts.device_task.full:
        deleted |= extra(desired, read.document)
    return wrong(desired, read.document, gone=deleted)


def _remainder(
    desired: Document, read: Fetched, bad: frozenset[str], entries: frozenset[EntryKey]
) -> Document:
    """The patch of the second round: wrong products, and deletions of those only the scale has.

    All messages are included: a scale that does not merge them has lost those that were not sent.
    """
    patch = with_deletions(select(desired, bad), read.document, entries)
    only_there = select(read.document, bad - by_key(patch).keys())
    deletions = [{**product, "deleted": True} for product in products(only_there)]
    return {**patch, "products": [*products(patch), *deletions]}


def _deleted(patch: Document | None) -> frozenset[str]:
    items = {} if patch is None else by_key(patch)
    return frozenset(key for key, item in items.items() if is_deleted(item))


async def _diagnosed(attempts: Attempts, patch: Document, fault: ImportFailed) -> Performed:
    """The failure of an import, with the product that caused it if it can be isolated (R15)."""
    failure = failed_by(fault, doubtful=True)
    if not attempts.device_task.diagnose:
        return failure
    culprit = await find_culprit(attempts, patch, fault)
    if culprit is None:
        return failure
    plu, cause = culprit
    failure = failed_by(cause, doubtful=True)
    return replace(failure, detail=f"{failure.detail} Проблемный товар: PLU {plu}.")


async def find_culprit(
    attempts: Attempts, document: Document, fault: ImportFailed
) -> tuple[str, ImportFailed] | None:
    """The key of the first product that the scale refuses by itself, and the fault it causes.

    None if there is no such product, if the time is over, or after another fault. Good halves are
    merged into the scale in the course of the search: they were to be sent anyway.
    """
    items, cause = list(products(document)), fault
    while len(items) > 1:
        half = items[: len(items) // 2]
        try:
            refusal = await _refusal(attempts, {**document, "products": half})
        except ScaleFault:
            return None
        items, cause = (half, refusal) if refusal else (items[len(half) :], cause)
    try:
        refusal = await _refusal(attempts, {**document, "products": items}) if items else None
    except ScaleFault:
        return None
    return (key_of(items[0]), refusal) if refusal else None


async def _refusal(attempts: Attempts, document: Document) -> ImportFailed | None:
    """The fault of an import, None if it succeeds. Raises other ScaleFaults."""
    try:
        await attempts.upload_once(document)
    except ImportFailed as fault:
        return fault
    return None
