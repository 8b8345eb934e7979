"""Whether the stored catalogue is confirmed on the scale (R8), and belongs to it (R9)."""

from typing import assert_never

from contracts.scale_bridge import (
    CatalogueConfirmed,
    CatalogueDoubted,
    CatalogueInvalidated,
    ScaleBridgeEvent,
)
from services.scale_bridge.catalogue.domain.catalogue import (
    Catalogue,
    Confirm,
    Invalidate,
    RevokeConfirmation,
)


def synchronize(
    catalogue: Catalogue, command: Invalidate | Confirm | RevokeConfirmation
) -> list[ScaleBridgeEvent]:
    """The event of a change of the confirmation; nothing if the state is already as commanded."""
    match command:
        case Invalidate():
            return _invalidate(catalogue, command)
        case Confirm():
            return confirm(catalogue, command)
        case RevokeConfirmation():
            return _revoke(catalogue, command)
        case _:
            assert_never(command)


def confirm(catalogue: Catalogue, command: Confirm) -> list[ScaleBridgeEvent]:
    """Confirm a revision; nothing if it is confirmed, or belongs to another scale."""
    if not catalogue.valid or not catalogue.since <= command.revision <= catalogue.revision:
        return []
    if (catalogue.confirmed, catalogue.on_scale) == (command.revision, command.content):
        return []
    return [
        CatalogueConfirmed(
            device_id=command.device_id,
            revision=command.revision,
            content=command.content,
            operation_id=command.operation_id,
            confirmed_at=command.now,
        )
    ]


def _invalidate(catalogue: Catalogue, command: Invalidate) -> list[ScaleBridgeEvent]:
    if not catalogue.valid:
        return []
    return [
        CatalogueInvalidated(
            device_id=command.device_id,
            revision=catalogue.revision + 1,
            reason=command.reason,
            invalidated_at=command.now,
        )
    ]


def _revoke(catalogue: Catalogue, command: RevokeConfirmation) -> list[ScaleBridgeEvent]:
    if not catalogue.valid or (catalogue.confirmed, catalogue.on_scale) == (0, command.content):
        return []
    return [
        CatalogueDoubted(
            device_id=command.device_id,
            revision=catalogue.revision,
            content=command.content,
            operation_id=command.operation_id,
            doubted_at=command.now,
        )
    ]
