"""Commands on a device's profile and validation overrides."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any, Final

from libs.errors import Unavailable
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata, VersionConflict
from services.scale_bridge.context import Context
from services.scale_bridge.devices.domain.device import DEVICE, SetProfile
from services.scale_bridge.devices.domain.validation_overrides import SetStrictness
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.devices.handlers.device import LoadedDevice, Saved

ATTEMPTS: Final = 10


async def describe(
    context: Context, loaded: LoadedDevice, given: Mapping[str, Any], metadata: Metadata
) -> Saved:
    """Set these fields of the profile; concurrent changes of other fields are preserved.

    Raises ModelUnknown, DeviceUnknown, Unavailable, LogUnavailable.
    """
    for _ in range(ATTEMPTS):
        command = SetProfile(
            device_id=loaded.device_id,
            profile=replace(loaded.device.profile, **given),
            profiled_by=metadata.actor or "",
            now=context.clock(),
        )
        try:
            return await _execute(context, loaded, command, metadata, expected=loaded.version)
        except VersionConflict:
            loaded = await device.load(context, metadata.tenant, loaded.device_id)
    raise Unavailable("device")


async def relax(
    context: Context, loaded: LoadedDevice, rules: Collection[str], reason: str, metadata: Metadata
) -> Saved:
    """Relax exactly these rules. Raises RuleUnknown, ReasonMissing, DeviceUnknown."""
    command = SetStrictness(
        device_id=loaded.device_id,
        relaxed=rules,
        reason=reason,
        set_by=metadata.actor or "",
        now=context.clock(),
    )
    return await _execute(context, loaded, command, metadata)


async def _execute(
    context: Context,
    loaded: LoadedDevice,
    command: SetProfile | SetStrictness,
    metadata: Metadata,
    *,
    expected: int | None = None,
) -> Saved:
    done = await execute(
        context.store, DEVICE, loaded.device_id, command, metadata=metadata, expected=expected
    )
    after = reduce(DEVICE.evolve, done.events, loaded.device)
    return Saved(LoadedDevice(loaded.device_id, after, done.version), done.token)
