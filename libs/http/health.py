"""The endpoints for supervisors and Prometheus: `/health`, `/ready` and `/metrics`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from libs.http.auth import public
from libs.telemetry.metrics import exposition

CHECK_SECONDS = 2.0
REQUESTS: Final = "requests"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether a dependency of the service works. `detail` is public: no address, no secret.

    Without a dependency that is not `critical`, requests are still answered correctly, but the
    worker falls behind.
    """

    ok: bool
    detail: str = ""
    critical: bool = True


Check: TypeAlias = Callable[[], Awaitable[CheckResult]]


def health_router(service: str, checks: Mapping[str, Check]) -> APIRouter:
    """`/health`, `/ready` and `/metrics`."""
    # Not in the OpenAPI document, where a service may describe a `/health` of its own.
    router = APIRouter(tags=["health"], dependencies=[Depends(public)], include_in_schema=False)

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process answers, whatever the state of its dependencies."""
        return {"status": "healthy"}

    @router.get("/ready")
    async def ready(request: Request, purpose: Annotated[str, Query(alias="for")] = "") -> Response:
        """Whether the process does all of its work: 200, or 503 with the failed checks.

        With `for=requests`, only whether it should receive requests. A load balancer uses this for
        a process that is API and worker in one, since answers do not wait for Kafka.
        """
        results = await run_checks(checks)
        draining = bool(getattr(request.app.state, "draining", False))
        everything = purpose != REQUESTS
        failed = [one for one in results.values() if not one.ok and (one.critical or everything)]
        is_ready = not draining and not failed
        status = "draining" if draining else "ready" if is_ready else "not ready"
        described = [
            {"name": name, "ok": result.ok, "detail": result.detail}
            for name, result in results.items()
        ]
        return JSONResponse({"status": status, "checks": described}, 200 if is_ready else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text."""
        body, content_type = exposition(service)
        return Response(body, media_type=content_type)

    return router


async def run_checks(
    checks: Mapping[str, Check], *, seconds: float = CHECK_SECONDS
) -> dict[str, CheckResult]:
    """Run all checks concurrently with one deadline. A check that raises has failed.

    The deadline also holds for checks that are slow to be cancelled, such as those that wait for a
    server.
    """
    tasks = {name: asyncio.ensure_future(_result(check)) for name, check in checks.items()}
    if tasks:
        _running.update(tasks.values())
        try:
            await asyncio.wait(tasks.values(), timeout=seconds)
        finally:
            for task in tasks.values():
                task.add_done_callback(_running.discard)
                task.cancel()
    late = CheckResult(False, f"no answer within {seconds:g} s")
    return {
        name: task.result() if task.done() and not task.cancelled() else late
        for name, task in tasks.items()
    }


_running: Final[set[asyncio.Future[CheckResult]]] = set()


async def _result(check: Check) -> CheckResult:
    try:
        return await check()
    except Exception as error:  # noqa: BLE001 - any error means not ready
        # The message might hold an address or a password; the class does not.
        return CheckResult(False, type(error).__name__)
