"""The driver under guard: its own sequence of commands, our connection, our checks (§5)."""

from typing import Any, Final

from services.scale_bridge.driver.adapters.deadline import Deadline, Stopped
from services.scale_bridge.driver.adapters.line import Limits, Line
from services.scale_bridge.driver.adapters.replies import Conversation
from services.scale_bridge.driver.adapters.vendor import load_driver
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.fault import BadAnswer, ScaleFault
from services.scale_bridge.driver.domain.wire import PREFIX_BYTES, read_request

_DRIVER: Final = load_driver()
_Scales: Any = _DRIVER.Scales

_FIRST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 1.0
_SLOWER: Final = 1.6
_INFORMATION: Final = b"\xff\x17"


class SafeScales(_Scales):  # type: ignore[misc] # the driver ships no types
    """One operation on one scale, in a thread. What went wrong first is what went wrong.

    The driver wraps whatever we raise, so `fault` keeps it. Nothing is sent twice and nothing
    reconnects: whole operations are retried, by others (R3).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        password: str,
        *,
        limits: Limits,
        countdown: Deadline,
        conversation: Conversation,
    ) -> None:
        self.fault: ScaleFault | Stopped | None = None
        self._endpoint = endpoint
        self._limits = limits
        self._countdown = countdown
        self._conversation = conversation
        self._pause = _FIRST_PAUSE_SECONDS
        super().__init__(
            str(endpoint.address),
            endpoint.port,
            password,
            retries=0,
            retry_delay=0.0,
            auto_reconnect=False,
        )

    def information(self) -> bytes:
        """The body of the answer to FF17, which the driver does not know."""
        packet = self._Scales__packet_header_gen(_INFORMATION) + _INFORMATION
        prefix = self._Scales__tcp_command_len_generator(packet, self.command_len_bytes)
        body: bytes = self._Scales__transceive(prefix + packet, "FF17")
        return body

    def close(self) -> None:
        """Hang up; safe to repeat."""
        line = getattr(self, "_Scales__socket", None)
        if line is not None:
            line.close()

    def _Scales__get_socket(self) -> None:  # noqa: N802 -- the driver's own name
        try:
            self._Scales__socket = Line(self._endpoint, self._limits, self._countdown)
        except (ScaleFault, Stopped) as fault:
            raise self._kept(fault) from None

    def _Scales__transceive(self, data: bytes, label: str, **options: Any) -> bytes:  # noqa: N802
        """As there; asks again when the scale says so in a way the driver does not know."""
        while True:
            body: bytes = super()._Scales__transceive(data, label, **options)
            if not self._conversation.again:
                return body

    def _Scales__send(self, data: bytes, label: str, bigdata: bool = False) -> None:  # noqa: N802
        """As there, after a pause if the scale is still working."""
        try:
            self._wait()
            self._conversation.asks(read_request(data[PREFIX_BYTES:]))
            self._Scales__socket.sendall(data)
        except (ScaleFault, Stopped) as fault:
            raise self._kept(fault) from None

    def _Scales__recv_tcp_frame(self, timeout: float) -> bytes:  # noqa: N802
        try:
            body: bytes = self._Scales__socket.frame()
            self._conversation.hears(body)
        except (ScaleFault, Stopped) as fault:
            raise self._kept(fault) from None
        return body

    def _wait(self) -> None:
        """The driver's fixed sleeps, adapted: short at first, longer the longer it takes."""
        if not self._conversation.working:
            self._pause = _FIRST_PAUSE_SECONDS
            return
        self._countdown.pause(self._pause)
        self._pause = min(_LONGEST_PAUSE_SECONDS, self._pause * _SLOWER)

    def _kept(self, fault: ScaleFault | Stopped) -> Exception:
        self.fault = self.fault or fault
        return fault


def fault_of(scales: SafeScales | None, error: Exception) -> ScaleFault | Stopped:
    """What an exception out of the driver means. Its text is never passed on: it has addresses."""
    if scales is not None and scales.fault is not None:
        return scales.fault
    if isinstance(error, ScaleFault | Stopped):
        return error
    return BadAnswer()
