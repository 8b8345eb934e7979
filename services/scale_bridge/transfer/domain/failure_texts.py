"""The text people read when an operation fails, by its stable code (the wording is free, §1.3).

No text holds an address, an errno or a secret (R16).
"""

from collections.abc import Mapping
from typing import Final

from services.scale_bridge.driver.domain.fault import BadCatalogue, Flaw, ImportFailed, ScaleFault
from services.scale_bridge.driver.domain.plain_text import one_line
from services.scale_bridge.driver.domain.result_code import meaning
from services.scale_bridge.transfer.domain.kinds import Outcome

BUSY: Final = "Busy"
CIRCUIT_OPEN: Final = "CircuitOpen"
NOT_SHOWN: Final = "NotShown"
NOT_BEGUN: Final = "NotBegun"
NO_REPORT: Final = "NoReport"
INTERRUPTED: Final = "Interrupted"
NOTHING_CACHED: Final = "NothingCached"
PASSWORD_LOST: Final = "SecretUnreadable"  # noqa: S105 -- a code
BAD_ADDRESS: Final = "BadAddress"
DEVICE_UNKNOWN: Final = "DeviceUnknown"
MOVED: Final = "Moved"
EDITED_MEANWHILE: Final = "EditedMeanwhile"
PROGRAM_FAULT: Final = "BridgeFault"
BAD_CATALOGUE: Final = "BadCatalogue"
UNKNOWN_OUTCOME: Final = "UnknownOutcome"

UNKNOWN_OUTCOME_TEXT: Final = "Неизвестно, приняли ли весы данные."
CONFIRMED_NOT_SHOWN: Final = "Весы подтвердили загрузку, но показывают другие данные."
UNCONFIRMED_NOT_SHOWN: Final = "Весы не подтвердили загрузку и показывают другие данные."

SENTENCES: Final[Mapping[str, str]] = {
    BUSY: "Весы заняты другой операцией, повторите позже.",
    CIRCUIT_OPEN: "Весы несколько раз подряд не ответили; повторите чуть позже.",
    NOT_SHOWN: "Весы показывают другие данные.",
    NOT_BEGUN: "Операция не началась вовремя.",
    NO_REPORT: "Мост не сообщил, чем закончилась операция.",
    INTERRUPTED: "Операция прервана.",
    PROGRAM_FAULT: "Сбой программы, которая говорит с весами.",
    NOTHING_CACHED: "Нет сохранённого каталога: сначала загрузите товары с весов.",
    PASSWORD_LOST: "Сохранённый пароль весов не читается: задайте его заново.",
    BAD_ADDRESS: "Адрес весов не разрешён.",
    DEVICE_UNKNOWN: "Device not found",
    MOVED: "Адрес весов изменился во время операции.",
    EDITED_MEANWHILE: "Каталог изменили за это время, и правки нельзя соединить: повторите.",
    "Unreachable": "Нет соединения с весами.",
    "Timeout": "Весы не ответили вовремя.",
    "Disconnected": "Весы разорвали соединение.",
    "BadAnswer": "Весы ответили не по протоколу.",
    "WrongPassword": "Неверный пароль весов.",
    "ScaleBusy": "Весы ещё выполняют предыдущую операцию.",
    "ScaleRefused": "Весы отказали: {}.",
    "ImportFailed": "Весы не смогли загрузить каталог.",
    BAD_CATALOGUE: "Каталог весов повреждён или записан с ошибкой.",
    UNKNOWN_OUTCOME: "Данные отправлены, но весы не подтвердили загрузку.",
    "Overloaded": "Слишком много операций одновременно, повторите позже.",
}

FLAWS: Final[Mapping[Flaw, str]] = {
    Flaw.DUPLICATE_PLU: "Этот PLU стоит у нескольких товаров.",
    Flaw.NOT_STORABLE: "Такой текст нельзя сохранить: нулевой символ или слишком длинный.",
}
_LONGEST_LOCATION: Final = 60


def sentence(code: str, outcome: str = Outcome.FAILED) -> str:
    """The text of a code, or a general one; it mentions an outcome that is unknown."""
    text = SENTENCES.get(code, "Операция с весами не удалась.")
    unknown = outcome == Outcome.UNKNOWN and code != UNKNOWN_OUTCOME
    return with_unknown_outcome(text) if unknown else text


def with_unknown_outcome(text: str) -> str:
    """The text for an operation that failed but may have changed the scale."""
    return f"{text} {UNKNOWN_OUTCOME_TEXT}"


def sentence_of(fault: ScaleFault) -> str:
    """The text of a fault, with the scale's own error text."""
    text = sentence(fault.code)
    if "{}" in text:
        return text.format(meaning(fault.result or 0).russian)
    if isinstance(fault, ImportFailed) and fault.text:
        return f"{text} {fault.text}"
    if isinstance(fault, BadCatalogue) and (fault.product or fault.field):
        return f"{text} {_location(fault)} {FLAWS.get(fault.flaw, '')}".rstrip()
    return text


def _location(fault: BadCatalogue) -> str:
    """The product and the field that are wrong."""
    product = f"товар {fault.product}" if ":" in fault.product else f"PLU {fault.product}"
    parts = [product] if fault.product else []
    parts += [f"поле {fault.field}"] if fault.field else []
    return "Где: " + ", ".join(one_line(part, _LONGEST_LOCATION) for part in parts) + "."
