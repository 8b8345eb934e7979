"""Alive, ready, measured: what supervisors and Prometheus ask of every service."""

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
    """Whether one thing the service needs is there. `detail` is public: no address, no secret.

    Requests are answered rightly without what is not `needed`: only the worker's work is late.
    """

    ok: bool
    detail: str = ""
    needed: bool = True


Check: TypeAlias = Callable[[], Awaitable[CheckResult]]


def health_router(service: str, checks: Mapping[str, Check]) -> APIRouter:
    """`/health`, `/ready` and `/metrics`."""
    # What supervisors ask is no part of the API; a service may tell of a `/health` of its own.
    router = APIRouter(tags=["health"], dependencies=[Depends(public)], include_in_schema=False)

    @router.get("/health")
    async def health() -> dict[str, str]:
        """The process answers; says nothing about what it needs."""
        return {"status": "healthy"}

    @router.get("/ready")
    async def ready(
        request: Request, asked_for: Annotated[str, Query(alias="for")] = ""
    ) -> Response:
        """Whether the process does all of its work: 200, or 503 with what is amiss.

        With `for=requests`, whether requests should come here: a load balancer asks this of a
        process that is API and worker in one, whose answers do not wait for Kafka.
        """
        results = await run_checks(checks)
        draining = bool(getattr(request.app.state, "draining", False))
        everything = asked_for != REQUESTS
        amiss = [one for one in results.values() if not one.ok and (one.needed or everything)]
        is_ready = not draining and not amiss
        status = "draining" if draining else "ready" if is_ready else "not ready"
        listed = [
            {"name": name, "ok": result.ok, "detail": result.detail}
            for name, result in results.items()
        ]
        return JSONResponse({"status": status, "checks": listed}, 200 if is_ready else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text."""
        body, content_type = exposition(service)
        return Response(body, media_type=content_type)

    return router


async def run_checks(
    checks: Mapping[str, Check], *, seconds: float = CHECK_SECONDS
) -> dict[str, CheckResult]:
    """All checks at once, each with the same deadline; failing is an answer, not an error.

    The deadline holds for a check too that takes its time to be cancelled, as those do that wait
    for a server.
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
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready
        # The message might hold an address or a password; the class does not.
        return CheckResult(False, type(error).__name__)
