"""Commands on a device's profile and validation overrides."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from libs.errors import Unavailable
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata, VersionConflict
from services.scale_bridge.context import Context
from services.scale_bridge.devices.domain.device import DEVICE
from services.scale_bridge.devices.domain.profile import SetProfile
from services.scale_bridge.devices.domain.validation_overrides import SetStrictness
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.devices.handlers.device import LoadedDevice, Saved

ATTEMPTS: Final = 10


async def describe(
    context: Context, found: LoadedDevice, given: Mapping[str, Any], metadata: Metadata
) -> Saved:
    """Set these fields of the profile and keep the others, also under concurrent changes.

    Raises ModelUnknown, DeviceUnknown, Unavailable, LogUnavailable.
    """
    for _ in range(ATTEMPTS):
        command = SetProfile(
            device_id=found.device_id,
            profile=replace(found.device.profile, **given),
            profiled_by=metadata.actor or "",
            now=context.clock(),
        )
        try:
            return await _done(context, found, command, metadata, expected=found.version)
        except VersionConflict:
            found = await device.load(context, metadata.tenant, found.device_id)
    raise Unavailable("device")


async def relax(
    context: Context, found: LoadedDevice, rules: Collection[str], reason: str, metadata: Metadata
) -> Saved:
    """Relax these rules and no others. Raises RuleUnknown, ReasonMissing, DeviceUnknown."""
    command = SetStrictness(
        device_id=found.device_id,
        relaxed=rules,
        reason=reason,
        set_by=metadata.actor or "",
        now=context.clock(),
    )
    return await _done(context, found, command, metadata)


async def _done(
    context: Context,
    found: LoadedDevice,
    command: SetProfile | SetStrictness,
    metadata: Metadata,
    *,
    expected: int | None = None,
) -> Saved:
    done = await execute(
        context.store, DEVICE, found.device_id, command, metadata=metadata, expected=expected
    )
    after = found.device
    for event in done.events:
        after = DEVICE.evolve(after, event)
    return Saved(LoadedDevice(found.device_id, after, done.version), done.token)
