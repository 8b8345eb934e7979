"""An upload: send what differs, read back, send again what is missing (R4, SCL-7); and, if the
import fails, which product the scale cannot import: by halves, never emptying the scale (R15).
"""

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
from services.scale_bridge.transfer.domain.commands import Outcome
from services.scale_bridge.transfer.domain.wording import (
    CONFIRMED_NOT_SHOWN,
    NOT_SHOWN,
    NOTHING_CACHED,
    UNCONFIRMED_NOT_SHOWN,
    sentence_of,
)
from services.scale_bridge.transfer.handlers.attempts import Attempts
from services.scale_bridge.transfer.handlers.device_task import Performed, failed, failed_by

ROUNDS: Final = 2
"""How often something is sent at most, each time only what the last read-back showed is missing."""


async def upload(attempts: Attempts) -> Performed:
    """Have the scale show what is wanted."""
    device_task = attempts.device_task
    wanted = device_task.wanted
    if wanted is None:
        return failed(NOTHING_CACHED)
    patch = wanted if device_task.full else differing(device_task.known, wanted)
    gone, forgotten = _deleted(patch), deleted_messages(patch)
    read: Fetched | None = None
    confirmed = False
    for number in range(ROUNDS):
        sent = await _sent(
            attempts, patch, clear=device_task.full and number == 0, again=number > 0
        )
        if isinstance(sent, Performed):
            return sent
        if sent and not attempts.execution.read_back:
            return Performed(outcome=Outcome.DONE, items=len(products(wanted)))
        back = await _read_back(attempts, confirmed=sent, nothing_sent=patch is None)
        if isinstance(back, Performed):
            return back
        read, confirmed = back, sent and patch is not None
        bad = _missing(attempts, wanted, read, gone)
        beside = missing_entries(wanted, read.document, known=device_task.known, gone=forgotten)
        if not bad and not beside:
            items = len(products(wanted))
            return Performed(outcome=Outcome.VERIFIED, read=read, items=items)
        patch = _again(wanted, read, bad, beside)
    said = CONFIRMED_NOT_SHOWN if confirmed else UNCONFIRMED_NOT_SHOWN
    return Performed(outcome=Outcome.FAILED, code=NOT_SHOWN, detail=said, read=read, doubtful=True)


async def _sent(
    attempts: Attempts, patch: Document | None, *, clear: bool, again: bool
) -> bool | Performed:
    """Whether the scale confirmed what was sent, or nothing had to be; what it failed by."""
    if patch is None:
        return True
    try:
        sent = await attempts.upload(patch, clear=clear)
    except UnknownOutcome:
        return False
    except ImportFailed as fault:
        return await _diagnosed(attempts, patch, fault)
    except ScaleFault as fault:
        # Cleared it may be, by an attempt that then broke off; or it was seen to show otherwise.
        return failed_by(fault, doubtful=clear or again)
    await attempts.listener.applied(sent.items)
    return True


async def _read_back(
    attempts: Attempts, *, confirmed: bool, nothing_sent: bool
) -> Fetched | Performed:
    """What the scale has now; if it does not say, what it said before counts (R4)."""
    wanted = attempts.device_task.wanted
    try:
        return await attempts.read()
    except ScaleFault as fault:
        if nothing_sent:
            return failed_by(fault)
        if confirmed:
            return Performed(outcome=Outcome.DONE, items=len(products(wanted or {"products": []})))
        unknown = UnknownOutcome()
        return Performed(
            outcome=Outcome.UNKNOWN,
            code=unknown.code,
            detail=sentence_of(unknown),
            result=fault.result,
            doubtful=True,
        )


def _missing(
    attempts: Attempts, wanted: Document, read: Fetched, gone: frozenset[str]
) -> frozenset[str]:
    if attempts.device_task.full:
        gone |= extra(wanted, read.document)
    return wrong(wanted, read.document, gone=gone)


def _again(
    wanted: Document, read: Fetched, bad: frozenset[str], beside: frozenset[EntryKey]
) -> Document:
    """The products that the scale does not show, and those that it must not.

    Beside them all messages: a scale that does not merge them has lost those that were not sent.
    """
    some = with_deletions(select(wanted, bad), read.document, beside)
    left = select(read.document, bad - by_key(some).keys())
    gone = [{**product, "deleted": True} for product in products(left)]
    return {**some, "products": [*products(some), *gone]}


def _deleted(patch: Document | None) -> frozenset[str]:
    items = {} if patch is None else by_key(patch)
    return frozenset(key for key, item in items.items() if is_deleted(item))


async def _diagnosed(attempts: Attempts, patch: Document, fault: ImportFailed) -> Performed:
    """The scale said no to what was sent; with luck, because of which product (R15)."""
    failure = failed_by(fault, doubtful=True)
    if not attempts.device_task.diagnose:
        return failure
    found = await culprit(attempts, patch, fault)
    if found is None:
        return failure
    plu, told = found
    return _blamed(told, plu)


def _blamed(fault: ImportFailed, plu: str) -> Performed:
    said = failed_by(fault, doubtful=True)
    return Performed(
        outcome=said.outcome,
        code=said.code,
        detail=f"{said.detail} Проблемный товар: PLU {plu}.",
        result=said.result,
        doubtful=True,
    )


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
