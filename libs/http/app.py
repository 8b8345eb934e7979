"""The app factory of every service."""

from collections.abc import Iterable, Mapping, Sequence

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from libs.http.body_timeout import BodyTimeout
from libs.http.edge import Edge
from libs.http.health import Check, health_router
from libs.http.lean_route import LeanRoutes, lean_routes_of
from libs.http.routing import HeadAsGet, ignore_trailing_slash
from libs.http.schema import schema_router
from libs.http.shapes import PROBLEM, ErrorShape, add_problems
from libs.http.visible import VisibleAnswers
from libs.telemetry import traces
from libs.telemetry.traces import Telemetry

MAX_BODY_BYTES = 4 * 1024 * 1024


def create_app(
    *,
    title: str,
    routers: Iterable[APIRouter],
    deps: object | None,
    checks: Mapping[str, Check],
    telemetry: Telemetry | None = None,
    problem_shape: ErrorShape = PROBLEM,
    max_body_bytes: int = MAX_BODY_BYTES,
    longer_bodies: Mapping[str, int] | None = None,
    body_timeout: BodyTimeout | None = None,
    docs: bool = True,
    published: bool = True,
    outer: Sequence[Middleware] = (),
) -> FastAPI:
    """An app with health, metrics and problems around `routers`; handlers find `deps` in its state.

    `title` is the service's name in metrics and traces. `longer_bodies` are the paths that take
    more than `max_body_bytes`, with their limits. `body_timeout` holds for every route. With `docs`
    the app shows its OpenAPI document; with `published` others may, see `schema.SCHEMA`. `outer`
    middlewares see every response, even those to failures; CORS belongs there.
    """
    body_timeout = body_timeout or BodyTimeout()
    edge = _edge(title, telemetry, problem_shape, max_body_bytes, longer_bodies, body_timeout)
    app = FastAPI(
        title=title,
        openapi_url="/openapi.json" if docs else None,
        middleware=[*outer, edge],
        # `Edge` measures and traces; FastAPI would look for providers at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.deps = deps
    app.state.draining = False
    add_problems(app, problem_shape)
    # A service's own routes first, since it may have a `/health` of its own.
    _add_routes(app, [*routers, health_router(title, checks)])
    if published:
        _add_routes(app, [schema_router()])
    _add_inner_middleware(app, problem_shape)
    return app


def _edge(
    service: str,
    telemetry: Telemetry | None,
    shape: ErrorShape,
    max_body_bytes: int,
    longer_bodies: Mapping[str, int] | None,
    body_timeout: BodyTimeout,
) -> Middleware:
    return Middleware(
        Edge,
        service=service,
        telemetry=telemetry or traces.set_up(service),
        shape=shape,
        max_body_bytes=max_body_bytes,
        longer_bodies=longer_bodies,
        body_timeout=body_timeout,
    )


def _add_routes(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Add the routes of routers as they are.

    `include_router` would copy each route, which takes a millisecond a route and adds nothing.
    """
    for router in routers:
        app.router.routes.extend(router.routes)


def _add_inner_middleware(app: FastAPI, shape: ErrorShape) -> None:
    """Add what runs inside `Edge`: visibility, lean routes, both spellings of paths, and HEAD."""
    app.user_middleware.append(Middleware(VisibleAnswers))
    if lean := lean_routes_of(app.routes):
        app.user_middleware.append(Middleware(LeanRoutes, routes=lean, shape=shape))
    app.router.redirect_slashes = False
    ignore_trailing_slash(app.routes)
    app.router.middleware_stack = HeadAsGet(app.router.middleware_stack)
