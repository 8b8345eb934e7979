"""Where somebody works, and what each shop calls them."""

from services.gateway.domain.person import Person
from services.gateway.domain.realm import Place
from services.gateway.domain.shop import Card, card_of, place_of, with_card, workplaces

ANNA = Person(name="Анна", email="anna@crm.example", phone="+77011234567", telegram_id=7)


def test_who_works_in_several_shops_is_first_where_they_may_do_the_most() -> None:
    roles = {
        place_of("shop-3"): "courier",
        place_of("shop-2"): "admin",
        place_of("shop-1"): "admin",
        Place("crm", "demo"): "ADMIN",
        place_of("shop-0"): "admin off",
        place_of("shop-4"): "owner",
    }

    assert [place.tenant for place, _ in workplaces(roles)] == ["shop-1", "shop-2", "shop-3"]
    assert [place.tenant for place, _ in workplaces(roles, "courier")] == ["shop-3"]
    assert workplaces({}) == ()


def test_of_whom_a_shop_says_nothing_is_called_what_they_are() -> None:
    assert card_of(ANNA, "shop-1") == Card(name="Анна", email="anna@crm.example", telegram_id=7)


def test_a_shops_card_is_its_own() -> None:
    card = Card(name="Аня", email=None, telegram_id=9)

    told = with_card(ANNA, "shop-1", card)

    assert card_of(told, "shop-1") == card
    assert card_of(told, "shop-2").name == "Анна"
    assert (told.email, told.telegram_id, told.name) == (ANNA.email, 7, "Анна")


def test_a_card_is_replaced_as_a_whole() -> None:
    first = with_card(ANNA, "shop-1", Card(name="Аня", email="a@shop.example", telegram_id=9))
    other = with_card(first, "shop-2", Card(name="Анна П."))

    again = with_card(other, "shop-1", Card(name="Аня"))

    assert card_of(again, "shop-1") == Card(name="Аня")
    assert card_of(again, "shop-2") == Card(name="Анна П.")
