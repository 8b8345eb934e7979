"""The meaning of a scanned barcode, and the rules of labels (SCL-13)."""

from datetime import date
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from contracts.scale_bridge import BarcodeRule
from libs.barcodes.elements import Amount, Value
from libs.barcodes.faults import BadBarcode
from libs.http.auth import Principal
from libs.http.visible import STALE
from libs.postgres.pool import tenant_connection
from services.scale_bridge.barcodes import handlers as handler
from services.scale_bridge.barcodes.domain import (
    MOST_RULES,
    BadRules,
    Label,
    SetRules,
    TradeItem,
    meaning,
)
from services.scale_bridge.context import (
    ApiContext,
    Authored,
    Reader,
    Scales,
    Writer,
    problem,
    unfit,
)
from services.scale_bridge.devices.handlers.device import owner_of
from services.scale_bridge.prices.read_models import article

router = APIRouter(tags=["barcodes"])

Digits = Annotated[int, Field(ge=1, le=10)]
Measured = Literal["weight_g", "price_minor", "count"]


class Rule(BaseModel):
    """An EAN-13: prefix, code, check digit of the measure if there is one, measure, check digit."""

    name: Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00]*$")]
    prefix: Annotated[str, Field(min_length=2, max_length=10, pattern=r"^[0-9]+$")]
    code_digits: Digits
    measure: Measured
    measure_digits: Digits
    price_check_digit: bool = False


class Rules(BaseModel):
    """All rules of the caller, in the order they were given."""

    rules: Annotated[list[Rule], Field(max_length=MOST_RULES)]


class Scanned(BaseModel):
    """A barcode as the scanner sent it."""

    code: Annotated[str, Field(min_length=1, max_length=256)]


class Sold(BaseModel):
    """The article on one of the caller's scales, by the stored catalogue."""

    device_id: int
    device: str
    plu: str
    name: str | None
    price: float | None
    product_type: str | None


class Meaning(BaseModel):
    """The meaning of a barcode. A `label` has code, measure, value, and the products with the code.

    A `gtin` is a trade item's number in 14 digits; `elements` are by identifier, dates as
    YYYY-MM-DD, measures (weights in kilograms) and amounts as text.
    """

    kind: Literal["label", "gtin", "elements"]
    rule: str | None = None
    code: int | None = None
    measure: Measured | None = None
    value: int | None = None
    products: list[Sold] | None = None
    gtin: str | None = None
    elements: dict[str, Any] | None = None


@router.get("/barcodes/rules")
async def rules(scales: Scales, caller: Reader) -> Rules:
    """The caller's rules."""
    owner = owner_of(caller.subject)
    return _present(await handler.rules_of(scales, caller.tenant, owner))


@router.put("/barcodes/rules")
async def put(scales: Scales, caller: Writer, metadata: Authored, body: Rules) -> Rules:
    """Replace all rules. 422 names every invalid rule, and every overlapping prefix."""
    rules = tuple(BarcodeRule(**rule.model_dump()) for rule in body.rules)
    command = SetRules(rules=rules, set_by=caller.subject, now=scales.clock())
    try:
        return _present(await handler.set_rules(scales, command, metadata))
    except BadRules as error:
        flaws = [(("rules", str(one.index), one.field), one.why) for one in error.flaws]
        raise unfit(*flaws) from None


@router.post("/barcodes/decode", response_model=Meaning, response_model_exclude_none=True)
async def decode(response: Response, scales: Scales, caller: Reader, body: Scanned) -> Any:
    """The meaning of a barcode. 422 with a code of its own if it was misread or is unknown."""
    rules = await handler.rules_of(scales, caller.tenant, owner_of(caller.subject))
    today = scales.clock().astimezone(scales.settings.zone).date()
    try:
        decoded = meaning(rules, body.code.strip(" \t\r\n"), today=today)
    except BadBarcode as error:
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), type(error).__name__)
    match decoded:
        case Label():
            if not await scales.consistency.caught_up("drift", caller.tenant):
                response.headers[STALE] = "1"
            return await _label(scales, caller, decoded)
        case TradeItem(gtin=gtin):
            return Meaning(kind="gtin", gtin=gtin)
        case _:
            elements = {name: _plain(value) for name, value in decoded.items()}
            return Meaning(kind="elements", elements=elements, gtin=elements.get("01"))


async def _label(scales: ApiContext, caller: Principal, label: Label) -> Meaning:
    code, owner = label.weighed.code, owner_of(caller.subject)
    # Some scales write codes as text, with the leading zeros of the label.
    codes = {str(code), str(code).zfill(label.rule.code_digits)}
    async with tenant_connection(scales.reading, caller.tenant) as connection:
        products = await article.sold(connection, caller.tenant, owner, codes)
    return Meaning(
        kind="label",
        rule=label.rule.name,
        code=code,
        measure=label.weighed.measure.value,
        value=label.weighed.value,
        products=[_sold(one) for one in products],
    )


def _sold(one: article.Sold) -> Sold:
    return Sold(
        device_id=one.number,
        device=one.device,
        plu=one.plu,
        name=one.fields.get("name"),
        price=one.fields.get("price"),
        product_type=one.fields.get("productType"),
    )


def _plain(value: Value) -> Any:
    match value:
        case Amount(currency=currency, value=amount):
            return {"currency": currency, "value": str(amount)}
        case Decimal() | date():
            return str(value)
        case _:
            return value


def _present(rules: tuple[BarcodeRule, ...]) -> Rules:
    names = Rule.model_fields
    return Rules(rules=[Rule(**{name: getattr(one, name) for name in names}) for one in rules])
