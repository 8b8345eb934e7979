"""Which ids and streams the facts of a scan get: always the same for the same scan."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from uuid import UUID, SafeUUID

import uuid_utils

# The same as the standard library's, in half the time: it is asked for every scan.
from uuid_utils.compat import uuid5

from contracts.ingest import ScanId
from libs.names import comparable

IMPORT: Final = "import"
"""On whose behalf an import is in the log (`Metadata.actor`). Its run is the correlation id."""

_TENANTS: Final = UUID("3b9c1b52-6a8e-5f0c-8d57-2f6d0c9be1a4")


@lru_cache(maxsize=1024)
def namespace(tenant: str) -> UUID:
    """The root of a tenant's ids: two tenants may use the same scan id and never meet."""
    return uuid5(_TENANTS, tenant)


def scan_event(tenant_ns: UUID, scan_id: ScanId) -> UUID:
    """The event id under which a scan is in the log, if it is."""
    return uuid5(tenant_ns, str(scan_id))


@lru_cache(maxsize=1024)
def scan_events(tenant_ns: UUID) -> Callable[[str], UUID]:
    """`scan_event` of scan ids spelled as `str` spells them, in a third of the time."""
    root = uuid_utils.UUID(tenant_ns.hex)
    hashed, create, set_field = uuid_utils.uuid5, object.__new__, object.__setattr__
    unknown = SafeUUID.unknown

    def event_of(scan_id: str) -> UUID:
        # As UUID itself does it, after checks that nothing needs here.
        made = create(UUID)
        set_field(made, "int", hashed(root, scan_id).int)
        set_field(made, "is_safe", unknown)
        return made

    return event_of


def quarantine_event(tenant_ns: UUID, scan_id: ScanId) -> UUID:
    """The event id under which an event with this id is in quarantine, if it is."""
    return uuid5(scan_event(tenant_ns, scan_id), "quarantine")


def nameless_quarantine_event(tenant_ns: UUID, value: object) -> UUID:
    """The same for an event without a readable id: it follows from the JSON value's content."""
    return uuid5(
        tenant_ns, "quarantine " + json.dumps(value, sort_keys=True, separators=(",", ":"))
    )


def item_removal(tenant_ns: UUID, scan_id: ScanId) -> UUID:
    """The event id under which an item's removal is in the log, if it is: once, for ever.

    Of an item that was recorded again after an import was undone it is `removal_of` that recording.
    """
    return removal_of(scan_event(tenant_ns, scan_id))


def removal_of(recording: UUID) -> UUID:
    """The event id under which the removal of an item is in the log, by that of its scan."""
    return uuid5(recording, "removal")


def undone_import(tenant_ns: UUID, run_id: str) -> UUID:
    """The event id under which it is in the log that an import was undone, if it was."""
    return uuid5(tenant_ns, f"import {run_id} undone")


def next_recording(recording: UUID, run_id: str) -> UUID:
    """The event id of a scan that is recorded again after its import was undone."""
    return uuid5(recording, f"after import {run_id}")


def undone_stream(undone: UUID) -> str:
    """Every undone import is a stream of one event, among the removals."""
    return f"removal-import-{undone}"


def removal_event(removal_id: UUID) -> UUID:
    """The event id of a removal's audit, which follows from the command (`EventStore.append`)."""
    return uuid5(removal_id, "0")


def imported_removal_event(tenant_ns: UUID, removal_id: UUID) -> UUID:
    """The same if the audit was imported, so that each tenant can import it."""
    return uuid5(tenant_ns, f"removal {removal_id}")


def removal_stream(removal_id: UUID) -> str:
    """Every removal is a stream of one event."""
    return f"removal-{removal_id}"


# There are few operators, and every scan asks.
@lru_cache(maxsize=4096)
def scan_stream(tenant_ns: UUID, operator: str) -> str:
    """Scans of one operator, however spelled, share a stream, and so their order on the way."""
    return _stream_of(tenant_ns, comparable(operator))


def scan_streams(tenant_ns: UUID, spelling: str) -> set[str]:
    """Where scans may be whose operator is spelled so: once, each spelling had its own stream."""
    return {_stream_of(tenant_ns, name) for name in (spelling, comparable(spelling))}


def _stream_of(tenant_ns: UUID, name: str) -> str:
    return f"scan-{uuid5(tenant_ns, 'operator ' + name)}"


def quarantine_stream(event_id: UUID) -> str:
    """Every quarantined event has a stream of its own, for what is decided about it later."""
    return f"quarantine-{event_id}"
