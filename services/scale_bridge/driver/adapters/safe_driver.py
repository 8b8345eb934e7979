"""The vendor's driver, guarded: its sequence of commands, our connection and our checks (§5).

The driver sleeps for fixed times, writes frames with their passwords to the root logger, and reads
JSON carelessly. It takes `time`, `logging` and its JSON function from its module, so a copy of the
module is loaded and given others. The driver's code is not changed, nor is any other copy of it.
"""

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from services.scale_bridge.driver.adapters.connection import Connection, Limits
from services.scale_bridge.driver.adapters.deadline import Deadline, Stopped
from services.scale_bridge.driver.adapters.replies import Conversation
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.fault import BadAnswer, ScaleFault
from services.scale_bridge.driver.domain.wire import (
    PREFIX_BYTES,
    WITHOUT_PASSWORD,
    Step,
    framed,
    packet,
    read_request,
)

PACKAGE: Final = "scales-mer725-driver"
VERSION: Final = "0.1.3"

_METHODS: Final = (
    "get_products_json",
    "send_json_products",
    "_Scales__connect_with_retries",
    "_Scales__get_socket",
    "_Scales__send",
    "_Scales__recv_tcp_frame",
    "_Scales__transceive",
)
_REPLACED: Final = {
    "get_products_json": {"time", "sleep", "logging", "get_json_from_bytearray"},
    "send_json_products": {"time", "sleep", "logging"},
    "_Scales__send": {"logging"},
}
"""What these methods take from their module, where it is replaced."""
_LEVELS: Final = ("debug", "info", "warning", "error", "exception")


class UnsuitableDriver(ImportError):
    """The driver is missing, or is not the version that was examined."""


def load_driver() -> ModuleType:
    """A copy of the driver's module. Raises UnsuitableDriver.

    In it nothing sleeps and nothing is logged, and a fetch returns the file's bytes.
    """
    try:
        installed = version(PACKAGE)
    except PackageNotFoundError:
        raise UnsuitableDriver(f"{PACKAGE}=={VERSION} is not installed") from None
    if installed != VERSION:
        raise UnsuitableDriver(f"{PACKAGE} is {installed}; the guard was made for {VERSION}")
    module = _copy("scales.scales")
    _assert_names(module)
    vars(module).update(
        time=SimpleNamespace(sleep=_nothing),
        logging=SimpleNamespace(**dict.fromkeys(_LEVELS, _nothing)),
        get_json_from_bytearray=bytes,
    )
    return module


def _copy(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise UnsuitableDriver(f"{PACKAGE} has no module {name}")
    own = importlib.util.spec_from_file_location(f"{name}_guarded", spec.origin)
    if own is None or own.loader is None:
        raise UnsuitableDriver(f"the module {name} cannot be loaded")
    module = importlib.util.module_from_spec(own)
    own.loader.exec_module(module)
    return module


def _assert_names(module: ModuleType) -> None:
    driver = getattr(module, "Scales", None)
    missing = [name for name in _METHODS if not hasattr(driver, name)]
    missing += [
        f"{word} in {method}"
        for method, words in _REPLACED.items()
        for word in sorted(words - set(_names_in(driver, method)))
    ]
    if missing or not hasattr(module, "DeviceError"):
        raise UnsuitableDriver(f"{PACKAGE} {VERSION} lacks {', '.join(missing) or 'DeviceError'}")


def _names_in(driver: object, method: str) -> tuple[str, ...]:
    code = getattr(getattr(driver, method, None), "__code__", None)
    return () if code is None else code.co_names


def _nothing(*_: Any, **__: Any) -> None:
    """Replaces sleeping and logging."""


_DRIVER: Final = load_driver()
_Scales: Any = _DRIVER.Scales

_FIRST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 1.0
_PAUSE_FACTOR: Final = 1.6


class SafeScales(_Scales):  # type: ignore[misc] # the driver ships no types
    """One operation on one scale, in a thread.

    The driver wraps all exceptions, so `fault` holds the first one. Nothing is sent twice and
    nothing reconnects: the caller retries whole operations (R3).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        password: str,
        *,
        limits: Limits,
        deadline: Deadline,
        conversation: Conversation,
    ) -> None:
        self.fault: ScaleFault | Stopped | None = None
        self._endpoint = endpoint
        self._password = password.encode()
        self._limits = limits
        self._deadline = deadline
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

    def command(self, step: Step) -> bytes:
        """The body of the reply to a command without data, which the driver does not have."""
        code = int(step, 16)
        password = b"" if code in WITHOUT_PASSWORD else self._password
        body: bytes = self._Scales__transceive(framed(packet(code, password)), step)
        return body

    def close(self) -> None:
        """Close the connection. Safe to repeat."""
        connection = getattr(self, "_Scales__socket", None)
        if connection is not None:
            connection.close()

    def _Scales__get_socket(self) -> None:  # noqa: N802 -- the driver's own name
        try:
            self._Scales__socket = Connection(self._endpoint, self._limits, self._deadline)
        except (ScaleFault, Stopped) as fault:
            raise self._first(fault) from None

    def _Scales__transceive(self, data: bytes, label: str, **options: Any) -> bytes:  # noqa: N802
        """Repeats the request after replies that mean "ask again" and that the driver rejects."""
        while True:
            body: bytes = super()._Scales__transceive(data, label, **options)
            if not self._conversation.poll_again:
                return body

    def _Scales__send(self, data: bytes, label: str, bigdata: bool = False) -> None:  # noqa: N802
        """Sends after a pause if the scale is still working."""
        try:
            self._wait()
            self._conversation.on_request(read_request(data[PREFIX_BYTES:]))
            self._Scales__socket.sendall(data)
        except (ScaleFault, Stopped) as fault:
            raise self._first(fault) from None

    def _Scales__recv_tcp_frame(self, timeout: float) -> bytes:  # noqa: N802
        try:
            body: bytes = self._Scales__socket.frame()
            self._conversation.on_reply(body)
        except (ScaleFault, Stopped) as fault:
            raise self._first(fault) from None
        return body

    def _wait(self) -> None:
        """Pause before a poll: briefly at first, longer each time. Replaces fixed sleeps."""
        if not self._conversation.working:
            self._pause = _FIRST_PAUSE_SECONDS
            return
        self._deadline.pause(self._pause)
        self._pause = min(_LONGEST_PAUSE_SECONDS, self._pause * _PAUSE_FACTOR)

    def _first(self, fault: ScaleFault | Stopped) -> Exception:
        self.fault = self.fault or fault
        return fault


def fault_of(scales: SafeScales | None, error: Exception) -> ScaleFault | Stopped:
    """The fault behind an exception of the driver, whose text is dropped: it holds addresses."""
    if scales is not None and scales.fault is not None:
        return scales.fault
    if isinstance(error, ScaleFault | Stopped):
        return error
    return BadAnswer()
