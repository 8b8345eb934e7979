"""Commands on devices: register, change, remove, describe, relax.

Names are unique per owner (§1.3). A name is reserved before the event that uses it. If its holder
does not use it, because a command failed or the device was renamed, it may be taken over.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid5

from contracts.scale_bridge import DeviceDetails, DeviceId
from libs.errors import Refused, Unavailable, Unfit
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata, VersionConflict
from libs.http.auth import Principal
from libs.security.sealing import SealBroken
from services.scale_bridge.catalogue.domain.catalogue import Invalidate
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.stores import catalogue_snapshots
from services.scale_bridge.context import Context
from services.scale_bridge.devices import stores
from services.scale_bridge.devices.domain.device import (
    DEVICE,
    Change,
    Device,
    DeviceUnknown,
    Register,
    Remove,
    SetProfile,
    details_of,
    device_id_of,
    moves,
)
from services.scale_bridge.devices.domain.validation_overrides import SetStrictness
from services.scale_bridge.driver.adapters import names
from services.scale_bridge.driver.domain.fault import Unreachable
from services.scale_bridge.driver.domain.password import checked
from services.scale_bridge.transfer.stores.breakers import Breakers

Fields: TypeAlias = Mapping[str, Any]
"""Fields of `DeviceDetails` by name. `password` is in the clear; an empty `bridge` is none."""

ATTEMPTS: Final = 10
_OWNERS: Final = UUID("2a0d8c3a-5b55-4d0e-a4a4-6b0f5b9a7d11")


class NameTaken(Refused):
    """Device with this name already exists"""


class NameConflict(NameTaken):
    """Device name conflict"""


class BridgeUnknown(Unfit):
    """There is no bridge of yours with this id."""


@dataclass(frozen=True, slots=True)
class LoadedDevice:
    """A device, and the version of its stream."""

    device_id: DeviceId
    device: Device
    version: int

    @property
    def details(self) -> DeviceDetails:
        """The details. Raises DeviceUnknown."""
        return details_of(self.device)


@dataclass(frozen=True, slots=True)
class Saved:
    """A device after a command, and a consistency token, None if nothing changed."""

    loaded: LoadedDevice
    token: str | None


def owner_of(subject: str) -> UUID:
    """The owner of a caller's devices: its account, or a UUID derived from another subject."""
    try:
        return UUID(subject)
    except ValueError:
        return uuid5(_OWNERS, subject)


async def load(context: Context, tenant: str, device_id: DeviceId) -> LoadedDevice:
    """A registered device. Raises DeviceUnknown, LogUnavailable."""
    history = await context.store.read(tenant, DEVICE.stream(device_id))
    loaded = LoadedDevice(device_id, DEVICE.state_after(history.events), history.version)
    details_of(loaded.device)
    return loaded


async def load_owned(context: Context, tenant: str, owner: UUID, number: int) -> LoadedDevice:
    """The device with this number, if the owner has it. Raises DeviceUnknown."""
    loaded = await load(context, tenant, device_id_of(number))
    if loaded.device.owner != owner:
        raise DeviceUnknown
    return loaded


async def load_of_caller(context: Context, caller: Principal, number: int) -> LoadedDevice:
    """The caller's device with this number. Raises DeviceUnknown."""
    return await load_owned(context, caller.tenant, owner_of(caller.subject), number)


async def is_owned(context: Context, tenant: str, device_id: DeviceId, owner: UUID) -> bool:
    """Whether the owner has, or had, the device. Raises LogUnavailable."""
    history = await context.store.read(tenant, DEVICE.stream(device_id))
    return DEVICE.state_after(history.events).owner == owner


async def register(context: Context, owner: UUID, given: Fields, metadata: Metadata) -> Saved:
    """Register a device. `given` has all fields, `bridge` may be absent.

    Raises NameTaken, BadAddress, BadPassword, BridgeUnknown, Unavailable.
    """
    password = checked(given["password"])
    await _check_address(context, given["ip"], given["port"])
    bridge = given.get("bridge") or None
    await _check_bridge(context, metadata.tenant, owner, bridge)
    number = await stores.NUMBERS.next(context.system)
    device_id = device_id_of(number)
    sealed = context.settings.seal().seal(password, str(device_id))
    details = DeviceDetails(**{**given, "password": sealed, "bridge": bridge})
    if not await _take_name(context, metadata.tenant, owner, details.name, device_id):
        raise NameTaken
    command = Register(
        device_id=device_id, number=number, owner=owner, details=details, now=context.clock()
    )
    done = await execute(context.store, DEVICE, device_id, command, metadata=metadata)
    device = DEVICE.state_after(done.events)
    return Saved(LoadedDevice(device_id, device, done.version), done.token)


async def change(
    context: Context, loaded: LoadedDevice, given: Fields, metadata: Metadata
) -> Saved:
    """Change the given fields; a new address invalidates the catalogue (R9).

    Raises NameConflict, DeviceUnknown, BadAddress, BadPassword, BridgeUnknown, Unavailable.
    """
    for _ in range(ATTEMPTS):
        details = await _details_after(context, metadata.tenant, loaded, given)
        try:
            return await _change(context, loaded, details, metadata)
        except VersionConflict:
            loaded = await load(context, metadata.tenant, loaded.device_id)
    raise Unavailable("device")


async def remove(context: Context, loaded: LoadedDevice, metadata: Metadata) -> str | None:
    """Remove a device; returns a consistency token. Safe to repeat."""
    command = Remove(device_id=loaded.device_id, now=context.clock())
    done = await execute(context.store, DEVICE, loaded.device_id, command, metadata=metadata)
    owner, name = loaded.device.owner, loaded.details.name
    if owner is not None:
        await stores.release_name(context.system, metadata.tenant, owner, name, loaded.device_id)
    await catalogue_snapshots.delete(context.system, metadata.tenant, loaded.device_id)
    return done.token


async def describe(
    context: Context, loaded: LoadedDevice, given: Mapping[str, Any], metadata: Metadata
) -> Saved:
    """Set these fields of the profile; concurrent changes of other fields are preserved.

    Raises ModelUnknown, DeviceUnknown, Unavailable, LogUnavailable.
    """
    command = SetProfile(
        device_id=loaded.device_id,
        fields=given,
        profiled_by=metadata.actor or "",
        now=context.clock(),
    )
    return await _execute(context, loaded, command, metadata)


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
    context: Context, loaded: LoadedDevice, command: SetProfile | SetStrictness, metadata: Metadata
) -> Saved:
    try:
        done = await execute(context.store, DEVICE, loaded.device_id, command, metadata=metadata)
    except VersionConflict:
        raise Unavailable("device") from None
    after = reduce(DEVICE.evolve, done.events, loaded.device)
    return Saved(LoadedDevice(loaded.device_id, after, done.version), done.token)


async def _details_after(
    context: Context, tenant: str, loaded: LoadedDevice, given: Fields
) -> DeviceDetails:
    before, fields = loaded.details, dict(given)
    if "bridge" in fields:
        fields["bridge"] = fields["bridge"] or None
    if "password" in fields:
        fields["password"] = _sealed(context, loaded, checked(fields["password"]))
    after = replace(before, **fields)
    if given.keys() & {"ip", "port"}:
        await _check_address(context, after.ip, after.port)
    if after.bridge != before.bridge:
        await _check_bridge(context, tenant, loaded.device.owner, after.bridge)
    return after


def _sealed(context: Context, loaded: LoadedDevice, password: str) -> str:
    """The sealed password; the same password stays as it is sealed, so that nothing changes."""
    purpose = str(loaded.device_id)
    try:
        if context.settings.seal().open(loaded.details.password, purpose) == password:
            return loaded.details.password
    except SealBroken:
        # The old one cannot be opened: it is replaced (R17).
        pass
    return context.settings.seal().seal(password, purpose)


async def _change(
    context: Context, loaded: LoadedDevice, after: DeviceDetails, metadata: Metadata
) -> Saved:
    before, owner = loaded.details, loaded.device.owner
    if owner is None:
        raise DeviceUnknown
    tenant, device_id = metadata.tenant, loaded.device_id
    renamed = before.name != after.name
    if renamed and not await _take_name(context, tenant, owner, after.name, device_id):
        raise NameConflict
    moved = moves(before, after)
    if moved:
        await _invalidate(context, device_id, metadata)
    command = Change(device_id=device_id, details=after, now=context.clock())
    done = await execute(
        context.store, DEVICE, device_id, command, metadata=metadata, expected=loaded.version
    )
    token = done.token
    if moved:
        # Again, for a fetch from the old address that ended meanwhile.
        token = await _invalidate(context, device_id, metadata) or token
        await _reset_breaker(context, after)
    if renamed:
        await stores.release_name(context.system, tenant, owner, before.name, device_id)
    device = replace(loaded.device, details=after)
    return Saved(LoadedDevice(device_id, device, done.version), token)


async def _invalidate(context: Context, device_id: DeviceId, metadata: Metadata) -> str | None:
    command = Invalidate(device_id=device_id, reason="address changed", now=context.clock())
    return (await catalogue.change(context, device_id, command, metadata)).token


async def _reset_breaker(context: Context, details: DeviceDetails) -> None:
    try:
        await Breakers.of(context).reset(
            await names.resolve(details.ip, details.port, context.settings.policy)
        )
    except Unreachable:
        return


async def _check_address(context: Context, ip: str, port: int) -> None:
    """Raises BadAddress (R14)."""
    try:
        await names.resolve(ip, port, context.settings.policy)
    except Unreachable:
        # A name that cannot be resolved now is allowed.
        return


async def _check_bridge(
    context: Context, tenant: str, owner: UUID | None, bridge: UUID | None
) -> None:
    """Raises BridgeUnknown if the agent does not exist, or belongs to another account."""
    if bridge is None:
        return
    if owner is None or await context.hooks.bridge_owner(context.system, tenant, bridge) != owner:
        raise BridgeUnknown


async def _take_name(
    context: Context, tenant: str, owner: UUID, name: str, device_id: DeviceId
) -> bool:
    """Reserve a name, by takeover if its holder does not use it; False if the name is in use."""
    holder = await stores.take_name(context.system, tenant, owner, name, device_id)
    if holder is None:
        return True
    other, fresh = holder
    history = await context.store.read(tenant, DEVICE.stream(other))
    device = DEVICE.state_after(history.events)
    in_use = device.details is not None and not device.removed and device.details.name == name
    if in_use or (fresh and device.details is None):
        return False
    return await stores.take_over_name(
        context.system, tenant, owner, name, of=other, device_id=device_id
    )
