"""Routes for thousands of requests a second: declared like any other, dispatched directly.

For every request FastAPI matches routes, resolves dependencies and opens exit stacks, which costs
more than a small handler. A lean route needs none of it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.http.problems import EXPECTED
from libs.http.shapes import ErrorShape, answer

Resolve: TypeAlias = Callable[[Request], Awaitable[Any]]


class LeanRoute(APIRoute):
    """A route whose dependencies are coroutines of the request alone, and whose answer is a
    `Response`: `APIRouter(route_class=LeanRoute)`.

    It is an ordinary route for OpenAPI, permissions and everything else that lists routes. Raises
    TypeError if it is declared with parameters in its path, query, headers or body.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        dependant = self.dependant
        is_nested = any(one.dependencies for one in dependant.dependencies)
        dependants = [dependant, *dependant.dependencies]
        if is_nested or dependant.body_params or not all(map(_takes_request_only, dependants)):
            raise TypeError(f"{path}: a lean route and its dependencies take the request alone")
        self._request_name = dependant.request_param_name
        self._resolvers = [(one.name, _resolver(one)) for one in dependant.dependencies]

    async def respond(self, request: Request) -> Response:
        """The handler's answer. Raises what the dependencies and the handler raise."""
        values = {} if self._request_name is None else {self._request_name: request}
        for name, resolve in self._resolvers:
            value = await resolve(request)
            if name is not None:
                values[name] = value
        response: Response = await self.endpoint(**values)
        return response


class _Request(Request):
    """Reads its body without the generator of Starlette's, which takes three times as long."""

    async def body(self) -> bytes:
        """The whole body. Raises ClientDisconnect."""
        if not self._stream_consumed:
            parts, more = [], True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._stream_consumed, self._body = True, b"".join(parts)
        return await super().body()


class LeanRoutes:
    """ASGI middleware that dispatches requests to lean routes by method and exact path.

    All others go to `app`, also other spellings of a path and methods that a route does not have.
    """

    def __init__(self, app: ASGIApp, *, routes: Iterable[LeanRoute], shape: ErrorShape) -> None:
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
            response = await route.respond(_Request(scope, receive))
        except EXPECTED as error:
            response = answer(self._shape, error, scope)
        await response(scope, receive, send)


def lean_routes_of(routes: Iterable[BaseRoute]) -> list[LeanRoute]:
    """The lean routes among an app's routes."""
    return [route for route in routes if isinstance(route, LeanRoute)]


def _takes_request_only(dependant: Dependant) -> bool:
    others = (
        dependant.path_params,
        dependant.query_params,
        dependant.header_params,
        dependant.cookie_params,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
    )
    call: Any = dependant.call
    return not any(others) and (iscoroutinefunction(call) or iscoroutinefunction(call.__call__))


def _resolver(dependant: Dependant) -> Resolve:
    call: Any = dependant.call
    if dependant.request_param_name or dependant.http_connection_param_name:
        return call  # type: ignore[no-any-return]

    async def resolve(_: Request) -> Any:
        return await call()

    return resolve
