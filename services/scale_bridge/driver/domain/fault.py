"""How an operation on a scale may fail, each way with a stable code of its own.

ScaleFault
├── TransportFault      the scale's answer is unknown; the breaker counts these
│   ├── Unreachable     no connection
│   ├── Timeout         a reply or the whole operation took too long
│   ├── Disconnected    the connection ended midway
│   └── BadAnswer       what came is not the protocol
├── ScaleAnswer         the scale said no; the breaker does not mind
│   ├── WrongPassword
│   ├── ScaleBusy
│   ├── ScaleRefused    any other result code
│   └── ImportFailed    with the scale's own text
├── BadCatalogue        what was fetched, or was to be sent, is no catalogue
├── UnknownOutcome      all was sent, and no definite answer came (R4)
└── Overloaded          too many operations at once; this one was never begun

The class name is the stable code, the docstring the sentence people see. No text holds an
address, an errno or a secret (R16).
"""

from enum import StrEnum

from services.scale_bridge.driver.domain.result_code import ResultCode, meaning


class ScaleFault(Exception):
    """The operation on the scale failed."""

    def __init__(self, detail: str | None = None, *, result: int | None = None) -> None:
        super().__init__(detail or type(self).__doc__)
        self.result = result
        """The scale's result code, if it gave one."""

    @property
    def code(self) -> str:
        """The stable code."""
        return type(self).__name__


class TransportFault(ScaleFault):
    """The exchange with the scale failed."""


class Unreachable(TransportFault):
    """The scale cannot be reached."""


class Timeout(TransportFault):
    """The scale did not answer in time."""


class Disconnected(TransportFault):
    """The scale ended the connection."""


class BadAnswer(TransportFault):
    """The scale answered something that is not its protocol."""


class ScaleAnswer(ScaleFault):
    """The scale refused."""


class WrongPassword(ScaleAnswer):
    """The scale does not accept its password."""


class ScaleBusy(ScaleAnswer):
    """The scale is busy with something else."""


class ScaleRefused(ScaleAnswer):
    """The scale refused; `result` says why."""


class ImportFailed(ScaleAnswer):
    """The scale could not import the catalogue; `text` is what it said itself, maybe nothing."""

    def __init__(self, text: str = "", *, result: int | None = None) -> None:
        super().__init__("The scale could not import the catalogue.", result=result)
        self.text = text


class Flaw(StrEnum):
    """What is wrong with a catalogue."""

    CHUNK = "chunk"
    HASH = "hash"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    DUPLICATE_KEY = "duplicate_key"
    NOT_FINITE = "not_finite"
    NOT_AN_OBJECT = "not_an_object"
    NO_PRODUCTS = "no_products"
    NOT_A_PRODUCT = "not_a_product"
    DUPLICATE_PLU = "duplicate_plu"
    NOT_STORABLE = "not_storable"


class BadCatalogue(ScaleFault):
    """The catalogue is not valid.

    `product` is the key (see `catalogue.key_of`) and `field` the name of what is wrong, empty where
    the flaw is of no one product or field.
    """

    def __init__(
        self, flaw: Flaw, detail: str | None = None, *, product: str = "", field: str = ""
    ) -> None:
        super().__init__(detail or f"The catalogue is not valid: {flaw.replace('_', ' ')}.")
        self.flaw = flaw
        self.product = product
        self.field = field


class UnknownOutcome(ScaleFault):
    """Everything was sent, but the scale did not say whether it imported it."""


class Overloaded(ScaleFault):
    """Too many scales are being spoken to at once."""


def answered(result: int) -> ScaleAnswer:
    """What a result code other than success means (§4.5)."""
    detail = f"The scale refused: {meaning(result).english}."
    match result:
        case ResultCode.WRONG_PASSWORD:
            return WrongPassword(result=result)
        case ResultCode.BUSY | ResultCode.IN_PROGRESS:
            return ScaleBusy(result=result)
        case _:
            return ScaleRefused(detail, result=result)
