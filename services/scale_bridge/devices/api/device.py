"""Scales: registered, listed, changed, removed (§1.1, 3 to 7)."""

from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from contracts.scale_bridge import DeviceId
from libs.http.visible import visible
from libs.postgres.pool import tenant_connection
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import (
    DEVICES_VISIBLE,
    ApiContext,
    Authored,
    Reader,
    Scales,
    Writer,
    own_device,
    unfit,
)
from services.scale_bridge.devices.handlers import device as handler
from services.scale_bridge.devices.handlers.device import (
    BridgeUnknown,
    LoadedDevice,
    owner_of,
)
from services.scale_bridge.devices.read_models import device
from services.scale_bridge.driver.domain.address import BadAddress
from services.scale_bridge.driver.domain.address import Flaw as AddressFlaw
from services.scale_bridge.driver.domain.password import BadPassword

router = APIRouter(tags=["devices"])

Name = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00]*$")]
Description = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]
Ip = Annotated[str, Field(min_length=1, max_length=64)]
Port = Annotated[int, Field(ge=1, le=65535)]
Password = Annotated[str, Field(min_length=1, max_length=64)]
Bridge = UUID | Literal[""]


class DeviceCreate(BaseModel):
    """A new scale. `bridge` is the agent that reaches it; without one, the service does."""

    name: Name
    description: Description = ""
    ip: Ip
    port: Port = 1111
    protocol: Literal["TCP"] = "TCP"
    password: Password
    bridge: Bridge | None = None


class DeviceUpdate(BaseModel):
    """The fields to change; absent or null keeps a field, an empty `bridge` removes the agent."""

    name: Name | None = None
    description: Description | None = None
    ip: Ip | None = None
    port: Port | None = None
    protocol: Literal["TCP"] | None = None
    password: Password | None = None
    bridge: Bridge | None = None


class Device(BaseModel):
    """A device as clients of the scales know it: exactly these seven keys (spec §1.2)."""

    id: int
    name: str
    description: str
    ip: str
    port: int
    protocol: str
    cached_dirty: bool


@router.get("/devices")
async def list_devices(scales: Scales, caller: Reader) -> list[Device]:
    """The caller's scales."""
    owner = owner_of(caller.subject)
    async with tenant_connection(scales.reading, caller.tenant) as connection:
        rows = await device.owned(connection, caller.tenant, owner)
    return [
        Device(id=row["number"], cached_dirty=row["revision"] != row["confirmed"], **row)
        for row in rows
    ]


@router.post("/devices", status_code=201, dependencies=[visible("device", "schedule")])
async def create(scales: Scales, caller: Writer, metadata: Authored, body: DeviceCreate) -> Device:
    """Register a scale. 409 if the caller has one of this name."""
    fields = body.model_dump(exclude_none=True)
    try:
        saved = await handler.register(scales, owner_of(caller.subject), fields, metadata)
    except (BadAddress, BadPassword, BridgeUnknown) as error:
        raise _unfit(error) from None
    await scales.hooks.on_registered(scales, saved.loaded.device_id, metadata)
    return _present(saved.loaded, dirty=False)


@router.get("/devices/{device_id}")
async def read(scales: Scales, caller: Reader, device_id: int) -> Device:
    """One of the caller's scales."""
    loaded = await own_device(scales, caller, device_id)
    return _present(loaded, dirty=await _dirty(scales, caller.tenant, loaded.device_id))


@router.put("/devices/{device_id}", dependencies=[DEVICES_VISIBLE])
async def update(
    scales: Scales, caller: Writer, metadata: Authored, device_id: int, body: DeviceUpdate
) -> Device:
    """Change the given fields of a scale. Another address invalidates the catalogue (R9)."""
    loaded = await own_device(scales, caller, device_id)
    fields = body.model_dump(exclude_none=True)
    try:
        saved = await handler.change(scales, loaded, fields, metadata)
    except (BadAddress, BadPassword, BridgeUnknown) as error:
        raise _unfit(error) from None
    dirty = await _dirty(scales, caller.tenant, loaded.device_id)
    return _present(saved.loaded, dirty=dirty)


@router.delete("/devices/{device_id}", status_code=204, dependencies=[DEVICES_VISIBLE])
async def delete(scales: Scales, caller: Writer, metadata: Authored, device_id: int) -> Response:
    """Remove a scale."""
    loaded = await own_device(scales, caller, device_id)
    await handler.remove(scales, loaded, metadata)
    return Response(status_code=204)


async def _dirty(scales: ApiContext, tenant: str, device_id: DeviceId) -> bool:
    return (await catalogue.load(scales, tenant, device_id)).catalogue.dirty


def _present(loaded: LoadedDevice, *, dirty: bool) -> Device:
    return Device(id=loaded.device.number, cached_dirty=dirty, **asdict(loaded.details))


def _unfit(error: BadAddress | BadPassword | BridgeUnknown) -> Any:
    if isinstance(error, BridgeUnknown):
        return unfit((("bridge",), str(error)))
    if isinstance(error, BadPassword):
        return unfit((("password",), str(error)))
    field = "port" if error.flaw is AddressFlaw.PORT else "ip"
    return unfit(((field,), str(error)))
