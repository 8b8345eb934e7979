"""The result codes of a scale, their meaning and the remedy (§4.5)."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class ResultCode(IntEnum):
    """The documented codes; a scale may return others."""

    SUCCESS = 0x00
    TARE_WRONG = 0x11
    UNKNOWN_COMMAND = 0x78
    WRONG_PASSWORD = 0x7A
    PARAMETER_WRONG = 0x7C
    PLU_WRONG = 0x80
    FOLDER_MISSING = 0x81
    PRODUCT_CODE_WRONG = 0x82
    PLU_EMPTY = 0x8C
    FILE_EMPTY = 0xAB
    IN_PROGRESS = 0xAC
    NOT_INITIALISED = 0xBC
    CATEGORY_UNKNOWN = 0xC4
    BARCODE_UNSUPPORTED = 0xC6
    BUSY = 0xC7
    NO_DISK_SPACE = 0xCB


class Advice(StrEnum):
    """The remedy for a result code."""

    NONE = "none"
    RETRY = "retry"
    FIX_SETTINGS = "fix_settings"
    FIX_DATA = "fix_data"
    CALL_SERVICE = "call_service"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A code in English and Russian, and its remedy."""

    english: str
    russian: str
    advice: Advice


MEANINGS: Final = {
    ResultCode.SUCCESS: Meaning("success", "успешно", Advice.NONE),
    ResultCode.TARE_WRONG: Meaning(
        "the tare value is wrong", "неверное значение тары", Advice.FIX_DATA
    ),
    ResultCode.UNKNOWN_COMMAND: Meaning(
        "the scale does not know the command", "неизвестная команда", Advice.CALL_SERVICE
    ),
    ResultCode.WRONG_PASSWORD: Meaning(
        "the scale's password is wrong", "неверный пароль весов", Advice.FIX_SETTINGS
    ),
    ResultCode.PARAMETER_WRONG: Meaning(
        "a parameter is wrong", "неверное значение параметра", Advice.FIX_DATA
    ),
    ResultCode.PLU_WRONG: Meaning("a PLU number is wrong", "неверный номер PLU", Advice.FIX_DATA),
    ResultCode.FOLDER_MISSING: Meaning(
        "a folder is missing on the scale", "на весах нет папки", Advice.CALL_SERVICE
    ),
    ResultCode.PRODUCT_CODE_WRONG: Meaning(
        "a product code is wrong", "неверный код товара", Advice.FIX_DATA
    ),
    ResultCode.PLU_EMPTY: Meaning("the PLU is empty", "PLU не заполнен", Advice.FIX_DATA),
    ResultCode.FILE_EMPTY: Meaning(
        "the requested file is empty", "запрошенный файл пуст", Advice.RETRY
    ),
    ResultCode.IN_PROGRESS: Meaning(
        "the scale is still working", "весы ещё выполняют операцию", Advice.RETRY
    ),
    ResultCode.NOT_INITIALISED: Meaning(
        "the scale is not initialised", "весы не инициализированы", Advice.CALL_SERVICE
    ),
    ResultCode.CATEGORY_UNKNOWN: Meaning(
        "a category is unknown", "неизвестная категория", Advice.FIX_DATA
    ),
    ResultCode.BARCODE_UNSUPPORTED: Meaning(
        "the barcode is not supported", "штрихкод не поддерживается", Advice.FIX_DATA
    ),
    # `fault.answered` makes a `ScaleBusy` of BUSY and IN_PROGRESS: their advice is not read.
    ResultCode.BUSY: Meaning(
        "the scale has not finished the previous request",
        "весы не завершили предыдущий запрос",
        Advice.RETRY,
    ),
    ResultCode.NO_DISK_SPACE: Meaning(
        "the scale has no disk space left", "на весах нет места на диске", Advice.CALL_SERVICE
    ),
}

_UNKNOWN: Final = Meaning(
    "the scale answers with an unknown code", "весы ответили неизвестным кодом", Advice.CALL_SERVICE
)


def meaning(code: int) -> Meaning:
    """The meaning of a code; undocumented codes share one."""
    try:
        return MEANINGS[ResultCode(code)]
    except ValueError:
        return _UNKNOWN
