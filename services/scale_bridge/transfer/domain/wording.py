"""What people at the scales read when an operation fails, by its stable code (free wording, §1.3).

No sentence holds an address, an errno or a secret (R16).
"""

from collections.abc import Mapping
from typing import Final

from services.scale_bridge.driver.domain.fault import BadCatalogue, Flaw, ImportFailed, ScaleFault
from services.scale_bridge.driver.domain.plain_text import one_line
from services.scale_bridge.driver.domain.result_code import meaning
from services.scale_bridge.transfer.domain.commands import Outcome

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

DOUBT: Final = "Неизвестно, приняли ли весы данные."
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
_LONGEST_PLACE: Final = 60


def sentence(code: str, outcome: str = Outcome.FAILED) -> str:
    """The sentence of a code; one for all that have none. An unknown outcome is said to be so."""
    said = SENTENCES.get(code, "Операция с весами не удалась.")
    return with_doubt(said) if outcome == Outcome.UNKNOWN and code != UNKNOWN_OUTCOME else said


def with_doubt(said: str) -> str:
    """The same of an operation that may have changed the scale all the same."""
    return f"{said} {DOUBT}"


def sentence_of(fault: ScaleFault) -> str:
    """What a fault means to people; the scale's own words go along."""
    said = sentence(fault.code)
    if "{}" in said:
        return said.format(meaning(fault.result or 0).russian)
    if isinstance(fault, ImportFailed) and fault.text:
        return f"{said} {fault.text}"
    if isinstance(fault, BadCatalogue) and (fault.product or fault.field):
        return f"{said} {_place(fault)} {FLAWS.get(fault.flaw, '')}".rstrip()
    return said


def _place(fault: BadCatalogue) -> str:
    """Which product and which field are wrong."""
    product = f"товар {fault.product}" if ":" in fault.product else f"PLU {fault.product}"
    named = [product] if fault.product else []
    named += [f"поле {fault.field}"] if fault.field else []
    return "Где: " + ", ".join(one_line(part, _LONGEST_PLACE) for part in named) + "."
