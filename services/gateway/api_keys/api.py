"""Routes to issue, list and revoke API keys."""

import asyncio
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, HTTPException, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from contracts.gateway import KeyId
from libs.http.auth import Principal, require
from libs.http.shapes import ShapedRoute
from libs.security.api_keys import hash_key
from services.gateway.api_keys import handlers as keys
from services.gateway.api_keys.domain.key import KeyUnknown, KeyUseless
from services.gateway.api_keys.domain.scopes import (
    KEYS,
    ScopeUnfit,
    TenantUnfit,
    check_scopes,
    tenant_for,
)
from services.gateway.api_keys.read_models import ApiKey, key_of, keys_of
from services.gateway.api_keys.stores.key_uses import last_uses
from services.gateway.api_keys.stores.known_keys import KeysUnavailable
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import API_KEYS

router = APIRouter(prefix="/api/v1/keys", tags=["identity"], route_class=ShapedRoute)

Admin = Annotated[Principal, Depends(require(KEYS))]
TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
TenantName = Annotated[str, StringConstraints(pattern=rf"^{TENANT.pattern}$")]
OfTenant = Annotated[TenantName | None, Query(description="The platform's administrators only.")]
Scope = Annotated[str, StringConstraints(pattern=r"^[a-z]+:[A-Za-z_*]+$", max_length=64)]

REASON: Final = "revoked by an administrator"
LONGEST_PER_MINUTE: Final = 1_000_000
PAUSE_SECONDS: Final = 0.02

log = structlog.get_logger(__name__)


class NewKey(BaseModel):
    """The key to issue. Without `expires_at` it is valid until it is revoked."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=50)]
    tenant: TenantName | None = None
    expires_at: AwareDatetime | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=LONGEST_PER_MINUTE)] | None = None


@router.get("")
async def list_keys(gateway: Gateway, admin: Admin, tenant: OfTenant = None) -> dict[str, Any]:
    """List the keys of a tenant, the revoked ones too, oldest first; new ones appear in moments."""
    owner = _tenant(gateway, admin, tenant)
    found, used = await keys_of(gateway.system, owner), await last_uses(gateway.system, owner)
    now = gateway.identity.clock()
    return {"tenant": owner, "keys": [_present(one, used, now) for one in found]}


@router.post("", status_code=201)
async def issue_key(
    body: NewKey, response: Response, gateway: Gateway, admin: Admin
) -> dict[str, Any]:
    """Issue a key: 201 with the key itself, which is shown this once. 422 if it would be of no
    use or hold a scope that the caller cannot give."""
    response.headers["Cache-Control"] = "no-store"
    owner = _tenant(gateway, admin, body.tenant)
    try:
        check_scopes(body.scopes, kind=admin.kind, own=admin.scopes)
        issued = await keys.issue(
            gateway.store,
            tenant=owner,
            name=body.name,
            scopes=body.scopes,
            actor=admin.subject,
            expires_at=body.expires_at,
            requests_per_minute=body.requests_per_minute,
            clock=gateway.identity.clock,
        )
    except (ScopeUnfit, KeyUseless) as error:
        raise HTTPException(422, str(error)) from None
    await _until_known(gateway, issued.key)
    response.headers["Location"] = f"{router.prefix}/{issued.key_id}"
    return {"key_id": str(issued.key_id), "tenant": owner, "key": issued.key}


@router.get("/{key_id}")
async def show_key(
    key_id: UUID, gateway: Gateway, admin: Admin, tenant: OfTenant = None
) -> dict[str, Any]:
    """Read one key; 404 if the tenant has no such key."""
    owner = _tenant(gateway, admin, tenant)
    found = await key_of(gateway.system, owner, key_id)
    if found is None:
        raise KeyUnknown
    used = await last_uses(gateway.system, owner)
    return _present(found, used, gateway.identity.clock())


@router.delete("/{key_id}", status_code=204, dependencies=[API_KEYS])
async def revoke_key(
    key_id: UUID,
    gateway: Gateway,
    admin: Admin,
    tenant: OfTenant = None,
    reason: Annotated[str, Query(min_length=1, max_length=200)] = REASON,
) -> None:
    """Revoke a key for good; 204 again for a revoked one. Doors refuse it within seconds."""
    owner = _tenant(gateway, admin, tenant)
    await keys.revoke(
        gateway.store,
        tenant=owner,
        key_id=KeyId(key_id),
        reason=reason,
        actor=admin.subject,
        clock=gateway.identity.clock,
    )


async def _until_known(gateway: Deps, key: str) -> None:
    """Wait until the doors accept the API key, `stale_wait_seconds` at most."""
    hashed = hash_key(key)
    try:
        async with asyncio.timeout(gateway.settings.stale_wait_seconds):
            while not await gateway.keys.known_from_now(hashed):
                await asyncio.sleep(PAUSE_SECONDS)
    except (KeysUnavailable, TimeoutError):
        # The key is issued, so the answer is 201 even if doors accept it later.
        log.warning("a key opens doors later", seconds=gateway.settings.stale_wait_seconds)


def _tenant(gateway: Deps, admin: Principal, requested: str | None) -> str:
    try:
        default = gateway.settings.people_tenant
        return tenant_for(kind=admin.kind, own=admin.tenant, requested=requested, default=default)
    except TenantUnfit:
        # Keys of other tenants are not found.
        raise HTTPException(404, "Not Found") from None


def _present(key: ApiKey, used: Mapping[UUID, datetime], now: datetime) -> dict[str, Any]:
    return {
        "key_id": str(key.key_id),
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "active": key.opens(now),
        "issued_at": key.issued_at,
        "expires_at": key.expires_at,
        "requests_per_minute": key.requests_per_minute,
        "last_used_at": used.get(key.key_id),
        "revoked_at": key.revoked_at,
        "revoked_because": key.revoked_because,
    }
