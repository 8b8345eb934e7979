"""The ids and streams of a scan's facts. They follow from the scan, so a repeat is recognised."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from uuid import UUID, SafeUUID

import uuid_utils

# The same as the standard library's in half the time; called for every scan.
from uuid_utils.compat import uuid5

from contracts.ingest import ScanId
from libs.names import comparable

IMPORT: Final = "import"
"""`Metadata.actor` of imported events; their correlation id is the run of the import."""

_TENANTS: Final = UUID("3b9c1b52-6a8e-5f0c-8d57-2f6d0c9be1a4")


@lru_cache(maxsize=1024)
def namespace(tenant: str) -> UUID:
    """The namespace of a tenant's ids: equal scan ids of two tenants give different event ids."""
    return uuid5(_TENANTS, tenant)


def scan_event(tenant_ns: UUID, scan_id: ScanId) -> UUID:
    """The event id of a scan's first recording."""
    return uuid5(tenant_ns, str(scan_id))


@lru_cache(maxsize=1024)
def scan_events(tenant_ns: UUID) -> Callable[[str], UUID]:
    """`scan_event` for scan ids as `str` formats them, in a third of the time."""
    root = uuid_utils.UUID(tenant_ns.hex)
    hashed, create, set_field = uuid_utils.uuid5, object.__new__, object.__setattr__
    unknown = SafeUUID.unknown

    def event_of(scan_id: str) -> UUID:
        # As `UUID.__init__`, without its checks.
        event_id = create(UUID)
        set_field(event_id, "int", hashed(root, scan_id).int)
        set_field(event_id, "is_safe", unknown)
        return event_id

    return event_of


def quarantine_event(tenant_ns: UUID, scan_id: ScanId) -> UUID:
    """The event id of a quarantined event with this scan id."""
    return uuid5(scan_event(tenant_ns, scan_id), "quarantine")


def nameless_quarantine_event(tenant_ns: UUID, value: object) -> UUID:
    """The event id of a quarantined event without a readable id: it follows from the JSON value."""
    return uuid5(
        tenant_ns, "quarantine " + json.dumps(value, sort_keys=True, separators=(",", ":"))
    )


def removal_of(recording: UUID) -> UUID:
    """The event id of the removal of the item with the event id `recording`."""
    return uuid5(recording, "removal")


def undone_import(tenant_ns: UUID, run_id: str) -> UUID:
    """The event id of `ImportUndone` for a run."""
    return uuid5(tenant_ns, f"import {run_id} undone")


def next_recording(recording: UUID, run_id: str) -> UUID:
    """The event id of a scan that is recorded again after its import was undone."""
    return uuid5(recording, f"after import {run_id}")


def undone_stream(undone: UUID) -> str:
    """The stream of `ImportUndone`, in the category of removals; it has one event."""
    return f"removal-import-{undone}"


def removal_event(removal_id: UUID) -> UUID:
    """The event id of a removal's audit, which follows from the command (`EventStore.append`)."""
    return uuid5(removal_id, "0")


def imported_removal_event(tenant_ns: UUID, removal_id: UUID) -> UUID:
    """The event id of an imported audit; each tenant can import the same one."""
    return uuid5(tenant_ns, f"removal {removal_id}")


def removal_stream(removal_id: UUID) -> str:
    """The stream of a removal's audit; it has one event."""
    return f"removal-{removal_id}"


# Few operators, called for every scan.
@lru_cache(maxsize=4096)
def scan_stream(tenant_ns: UUID, operator: str) -> str:
    """The stream of an operator's scans, whatever the spelling: consumers see them in order."""
    return f"scan-{uuid5(tenant_ns, 'operator ' + comparable(operator))}"


def quarantine_stream(event_id: UUID) -> str:
    """The stream of a quarantined event and of the decision about it."""
    return f"quarantine-{event_id}"
