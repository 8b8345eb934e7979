"""The app factory: every service's HTTP side begins here."""

from collections.abc import Iterable, Mapping, Sequence

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from libs.http.body_timeout import BodyTimeout
from libs.http.edge import Edge
from libs.http.head import HeadAsGet
from libs.http.health import Check, health_router
from libs.http.lean_route import LeanRoutes, lean_routes_of
from libs.http.problems import ProblemShape, add_problems, rfc9457_shape
from libs.http.schema import schema_router
from libs.http.slash_redirect import SlashRedirect
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
    problem_shape: ProblemShape = rfc9457_shape,
    max_body_bytes: int = MAX_BODY_BYTES,
    longer_bodies: Mapping[str, int] | None = None,
    body_timeout: BodyTimeout | None = None,
    docs: bool = True,
    published: bool = True,
    outer: Sequence[Middleware] = (),
) -> FastAPI:
    """An app with health, metrics and problems around `routers`; handlers find `deps` in its state.

    `title` is the service's name in metrics and traces. `longer_bodies` are the paths that take
    more than `max_body_bytes`, and how much they take. `body_timeout` holds for every route.
    With `docs` it shows people its OpenAPI document; `published`, others may show it, see
    `schema.SCHEMA`. `outer` middlewares see every answer, even those to failures; CORS belongs
    there.
    """
    edge = Middleware(
        Edge,
        service=title,
        telemetry=telemetry or traces.set_up(title),
        shape=problem_shape,
        max_body_bytes=max_body_bytes,
        longer_bodies=longer_bodies,
        body_timeout=body_timeout or BodyTimeout(),
    )
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
    # A service's own routes first: an old client may know `/health` by other words.
    schema = [schema_router()] if published else []
    for router in (*routers, health_router(title, checks), *schema):
        # Its routes as they are: `include_router` would make each of them anew, which takes a
        # millisecond a route, and has nothing to add to them.
        app.router.routes.extend(router.routes)
    app.user_middleware.append(Middleware(VisibleAnswers))
    if lean := lean_routes_of(app.routes):
        app.user_middleware.append(Middleware(LeanRoutes, routes=lean, shape=problem_shape))
    app.router.default = SlashRedirect(app.router)
    app.router.middleware_stack = HeadAsGet(app.router.middleware_stack)
    return app
