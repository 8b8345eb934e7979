"""What people at the scales read when an operation fails, by its stable code (free wording, §1.3).

No sentence holds an address, an errno or a secret (R16).
"""

from collections.abc import Mapping
from typing import Final

from services.scale_bridge.domain.fault import ImportFailed, ScaleFault
from services.scale_bridge.domain.result_code import meaning

BUSY: Final = "Busy"
CIRCUIT_OPEN: Final = "CircuitOpen"
NOT_SHOWN: Final = "NotShown"
NOT_BEGUN: Final = "NotBegun"
INTERRUPTED: Final = "Interrupted"
NOTHING_CACHED: Final = "NothingCached"
PASSWORD_LOST: Final = "SecretUnreadable"  # noqa: S105 -- a code
BAD_ADDRESS: Final = "BadAddress"
DEVICE_UNKNOWN: Final = "DeviceUnknown"
MOVED: Final = "Moved"

SENTENCES: Final[Mapping[str, str]] = {
    BUSY: "Весы заняты другой операцией, повторите позже.",
    CIRCUIT_OPEN: "Весы не отвечают; повторная попытка будет сделана чуть позже.",
    NOT_SHOWN: "Весы подтвердили загрузку, но показывают другие данные.",
    NOT_BEGUN: "Операция не началась вовремя.",
    INTERRUPTED: "Операция прервана: программа, которая её выполняла, остановилась.",
    NOTHING_CACHED: "Нет сохранённого каталога: сначала загрузите товары с весов.",
    PASSWORD_LOST: "Сохранённый пароль весов не читается: задайте его заново.",
    BAD_ADDRESS: "Адрес весов не разрешён.",
    DEVICE_UNKNOWN: "Device not found",
    MOVED: "Адрес весов изменился во время операции.",
    "Unreachable": "Нет соединения с весами.",
    "Timeout": "Весы не ответили вовремя.",
    "Disconnected": "Весы разорвали соединение.",
    "BadAnswer": "Весы ответили не по протоколу.",
    "WrongPassword": "Неверный пароль весов.",
    "ScaleBusy": "Весы ещё выполняют предыдущую операцию.",
    "ScaleRefused": "Весы отказали: {}.",
    "ImportFailed": "Весы не смогли загрузить каталог.",
    "BadCatalogue": "Каталог весов повреждён или записан с ошибкой.",
    "UnknownOutcome": "Данные отправлены, но весы не подтвердили загрузку.",
    "Overloaded": "Слишком много операций одновременно, повторите позже.",
}


def sentence(code: str) -> str:
    """The sentence of a code; one for all that have none."""
    return SENTENCES.get(code, "Операция с весами не удалась.")


def sentence_of(fault: ScaleFault) -> str:
    """What a fault means to people; the scale's own words go along."""
    said = sentence(fault.code)
    if "{}" in said:
        return said.format(meaning(fault.result or 0).russian)
    if isinstance(fault, ImportFailed) and fault.text:
        return f"{said} {fault.text}"
    return said
