"""The driver, exactly as it is published, loaded once more beside itself with quiet surroundings.

The driver sleeps for fixed times, writes frames with their passwords to the root logger, and reads
JSON carelessly. It takes `time`, `logging` and its JSON function from its module, so this copy of
the module is given others; not a line of it is changed, and other copies are not touched.
"""

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType, SimpleNamespace
from typing import Any, Final

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
    "_Scales__packet_header_gen",
    "_Scales__tcp_command_len_generator",
)
_TAKEN: Final = {
    "get_products_json": {"time", "sleep", "logging", "get_json_from_bytearray"},
    "send_json_products": {"time", "sleep", "logging"},
    "_Scales__send": {"logging"},
}
"""What these must still take from their module, or replacing it there has no effect."""
_LEVELS: Final = ("debug", "info", "warning", "error", "exception")


class UnsuitableDriver(ImportError):
    """The driver is missing, or is another than the one that was examined."""


def load_driver() -> ModuleType:
    """The driver's module, a copy of our own. Raises UnsuitableDriver.

    In it nothing sleeps and nothing is logged, and a fetch returns the file's bytes.
    """
    try:
        found = version(PACKAGE)
    except PackageNotFoundError:
        raise UnsuitableDriver(f"{PACKAGE}=={VERSION} is not installed") from None
    if found != VERSION:
        raise UnsuitableDriver(f"{PACKAGE} is {found}; the guard was made for {VERSION}")
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
        for method, words in _TAKEN.items()
        for word in sorted(words - set(_code(driver, method)))
    ]
    if missing or not hasattr(module, "DeviceError"):
        raise UnsuitableDriver(f"{PACKAGE} {VERSION} lacks {', '.join(missing) or 'DeviceError'}")


def _code(driver: object, method: str) -> tuple[str, ...]:
    code = getattr(getattr(driver, method, None), "__code__", None)
    return () if code is None else code.co_names


def _nothing(*_: Any, **__: Any) -> None:
    """In place of sleeping and logging."""
