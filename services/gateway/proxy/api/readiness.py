"""Conditions of the gateway's readiness."""

from collections.abc import Mapping
from functools import partial

from libs.http.health import Check, CheckResult
from libs.security import api_keys
from services.gateway.api_keys import read_models as api_key
from services.gateway.context import Deps
from services.gateway.proxy.adapters.upstream import Upstream


def readiness(deps: Deps) -> Mapping[str, Check]:
    """The check of the configured client key.

    The services behind the doors are reported, but do not make the gateway unready.
    """

    async def service_ready(upstream: Upstream) -> CheckResult:
        return CheckResult(True, "" if await upstream.is_ready() else "not ready")

    doors = {name: partial(service_ready, upstream) for name, upstream in deps.upstreams.items()}
    if (key := deps.settings.scan_client_key) is None:
        return doors
    return {"client key": _ClientKey(deps, api_keys.hash_key(key.get_secret_value())).check} | doors


class _ClientKey:
    """The configured API key: issued at the start, accepted once it is projected."""

    def __init__(self, deps: Deps, hashed: str) -> None:
        self._deps = deps
        self._hashed = hashed
        self._is_known = False

    async def check(self) -> CheckResult:
        """Ready once the doors accept the key, or it was revoked; then for good."""
        if not self._is_known:
            revoked = await api_key.is_revoked(self._deps.system, self._hashed)
            self._is_known = revoked is not None and (
                revoked or await self._deps.keys.known_from_now(self._hashed)
            )
        return CheckResult(self._is_known, "" if self._is_known else "not known yet")
