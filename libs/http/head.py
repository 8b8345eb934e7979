"""HEAD for every route that has GET: the same response without its body (RFC 9110 §9.3.2)."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

END: Final[Message] = {"type": "http.response.body", "body": b"", "more_body": False}


class HeadAsGet:
    """ASGI middleware around routes that have GET only.

    The response ends after its head; a stream is cut off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        head = _Head(receive, send)
        try:
            # In place, since metrics find the matched route in this scope.
            scope["method"] = "GET"
            await self.app(scope, head.receive, head.send)
        except Exception:
            # Errors of a stream that was cut off do not matter: the client has its response.
            if not head.is_cut_off:
                raise


class _CutOff(OSError):
    """Looks to a stream like a disconnected client."""


class _Head:
    """Receives and sends for a HEAD request; `is_cut_off` after a body of several messages."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.is_cut_off = False
        self._is_sent = False
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        return {"type": "http.disconnect"} if self._is_sent else await self._receive()

    async def send(self, message: Message) -> None:
        if not self._is_sent:
            await self._send(message)
            if message["type"] == "http.response.start":
                self._is_sent = True
                await self._send(END)
        elif message.get("more_body"):
            self.is_cut_off = True
            raise _CutOff
