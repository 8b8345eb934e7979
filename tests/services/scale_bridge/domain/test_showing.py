"""What is sent so that a scale shows a catalogue, and what counts as showing it."""

from typing import Any

from services.scale_bridge.domain.showing import differing, extra, wrong


def a_product(plu: int, **different: Any) -> dict[str, Any]:
    return {"pluNumber": plu, "code": plu + 100, "price": 10.0} | different


def a_catalogue(*products: dict[str, Any]) -> dict[str, Any]:
    return {"categories": [{"idCategory": 1}], "products": list(products)}


WANTED = a_catalogue(a_product(1), a_product(2, price=12.0))


def test_only_what_differs_is_sent() -> None:
    known = a_catalogue(a_product(1), a_product(2))

    assert differing(known, WANTED) == a_catalogue(a_product(2, price=12.0))
    assert differing(WANTED, WANTED) is None


def test_all_is_sent_to_a_scale_nobody_knows() -> None:
    assert differing(None, WANTED) == WANTED


def test_what_is_wanted_no_more_is_marked_as_deleted() -> None:
    known = a_catalogue(a_product(1), a_product(2, price=12.0), a_product(3))

    assert differing(known, WANTED) == a_catalogue(a_product(3, deleted=True))


def test_a_scale_shows_what_is_wanted_whatever_else_it_knows() -> None:
    read = a_catalogue(a_product(1, shelfLifeInDays=3), a_product(2, price=12), a_product(9))

    assert not wrong(WANTED, read)
    assert extra(WANTED, read) == {"9"}


def test_a_wrong_price_a_missing_product_and_a_deleted_one_are_wrong() -> None:
    read = a_catalogue(a_product(2, price=10.0), a_product(9))

    assert wrong(WANTED, read, gone={"9"}) == {"1", "2", "9"}


def test_a_cleared_date_must_be_gone() -> None:
    wanted = a_catalogue(a_product(1, sellByDate=""))

    assert wrong(wanted, a_catalogue(a_product(1, sellByDate="01-03-26"))) == {"1"}
    assert not wrong(wanted, a_catalogue(a_product(1)))
    assert not wrong(a_catalogue(a_product(1)), a_catalogue(a_product(1, sellByDate="01-03-26")))
