"""The faults of an operation on a scale, each with a stable code.

ScaleFault
├── TransportFault      the reply is unknown; the circuit breaker counts these
│   ├── Unreachable     no connection
│   ├── Timeout         a reply or the whole operation took too long
│   ├── Disconnected    the connection ended during the operation
│   └── BadAnswer       the reply breaks the protocol
├── ScaleAnswer         the scale refused; the circuit breaker does not count these
│   ├── WrongPassword
│   ├── ScaleBusy
│   ├── ScaleRefused    any other result code
│   └── ImportFailed    with the scale's own text
├── BadCatalogue        the catalogue that was fetched, or was to be sent, is not valid
├── UnknownOutcome      all was sent, and the scale neither confirmed nor refused it (R4)
└── Overloaded          too many operations at once; this one was not started

The class name is the stable code, the docstring the text people see. No text holds an address, an
errno or a secret (R16).
"""

from enum import StrEnum

from services.scale_bridge.driver.domain.result_code import ResultCode, meaning


class ScaleFault(Exception):
    """The operation on the scale failed."""

    def __init__(self, detail: str | None = None, *, result: int | None = None) -> None:
        super().__init__(detail or type(self).__doc__)
        self.result = result
        """The scale's result code, None without a reply."""

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
    """The scale could not import the catalogue; `text` is its error text, which may be empty."""

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

    `product` is the key of the product (see `document.key_of`) and `field` the name of the field;
    both are empty if the flaw is of the whole catalogue.
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
    """The fault for a result code other than success (§4.5)."""
    detail = f"The scale refused: {meaning(result).english}."
    match result:
        case ResultCode.WRONG_PASSWORD:
            return WrongPassword(result=result)
        case ResultCode.BUSY | ResultCode.IN_PROGRESS:
            return ScaleBusy(result=result)
        case _:
            return ScaleRefused(detail, result=result)
