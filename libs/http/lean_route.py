"""Routes that are asked thousands of times a second: declared like any other, answered directly.

FastAPI resolves dependencies, opens exit stacks and looks for a route anew for every request, which
costs more than a small handler does. A lean route has no use for any of it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.http.problems import EXPECTED, ProblemShape, answer

Resolve: TypeAlias = Callable[[Request], Awaitable[Any]]


class LeanRoute(APIRoute):
    """A route whose dependencies are coroutines of the request alone, and whose answer is a
    `Response`: `APIRouter(route_class=LeanRoute)`.

    To documents, permissions and everything else that lists routes it is an ordinary route. Raises
    TypeError if it is declared with parameters in its path, query, headers or body.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        own = self.dependant
        deeper = any(one.dependencies for one in own.dependencies)
        needs = [own, *own.dependencies]
        if deeper or own.body_params or not all(map(_is_of_request, needs)):
            raise TypeError(f"{path}: a lean route and its dependencies take the request alone")
        self._request_name = own.request_param_name
        self._resolvers = [(one.name, _resolver(one)) for one in own.dependencies]

    async def respond(self, request: Request) -> Response:
        """The handler's answer. Raises what the dependencies and the handler raise."""
        values = {} if self._request_name is None else {self._request_name: request}
        for name, resolve in self._resolvers:
            value = await resolve(request)
            if name is not None:
                values[name] = value
        response: Response = await self.endpoint(**values)
        return response


class LeanRoutes:
    """ASGI middleware that answers requests for lean routes, by method and exact path, and leaves
    all others to `app`: a path spelled otherwise, and a method that the route does not have."""

    def __init__(self, app: ASGIApp, *, routes: Iterable[LeanRoute], shape: ProblemShape) -> None:
        self._app = app
        self._shape = shape
        self._routes: Mapping[tuple[str, str], LeanRoute] = {
            (method, route.path): route for route in routes for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = None
        if scope["type"] == "http" and not scope.get("root_path"):
            route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        try:
            response = await route.respond(Request(scope, receive))
        except EXPECTED as error:
            response = answer(self._shape, error, scope.get("request_id"))
        await response(scope, receive, send)


def lean_routes_of(routes: Iterable[BaseRoute]) -> list[LeanRoute]:
    """Those of an app's routes that are lean."""
    return [route for route in routes if isinstance(route, LeanRoute)]


def _is_of_request(need: Dependant) -> bool:
    others = (
        need.path_params,
        need.query_params,
        need.header_params,
        need.cookie_params,
        need.response_param_name,
        need.background_tasks_param_name,
        need.security_scopes_param_name,
    )
    call: Any = need.call
    return not any(others) and (iscoroutinefunction(call) or iscoroutinefunction(call.__call__))


def _resolver(need: Dependant) -> Resolve:
    call: Any = need.call
    if need.request_param_name or need.http_connection_param_name:
        return call  # type: ignore[no-any-return]

    async def resolve(_: Request) -> Any:
        return await call()

    return resolve
