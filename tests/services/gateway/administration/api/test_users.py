"""The person that a body of a face makes: its fields, and traits of the realm."""

from typing import Any

import pytest
from pydantic import BaseModel

from services.gateway.accounts.domain.person import Person
from services.gateway.administration.api.users import Face
from services.gateway.realms.crm import api as crm
from services.gateway.realms.kiosk.api import users as kiosk

TRAITS = {"crm.phone": "1", "kiosk.phone": "1", "kiosk.verified": "yes", "shop a name": "Anna"}
ANNA = Person(email="anna@shop.example", username="anna", name="Anna", traits=TRAITS)


@pytest.mark.parametrize(
    ("face", "body", "changed"),
    [
        (crm.FACE, crm.Change(), {}),
        (crm.FACE, crm.Change(full_name="Olga"), {"name": "Olga"}),
        (crm.FACE, crm.Change(phone="2"), {"crm.phone": "2"}),
        (crm.FACE, crm.Change(phone=""), {"crm.phone": ""}),
        (crm.FACE, crm.Change(phone=None), {"crm.phone": None}),
        (kiosk.FACE, kiosk.Change(username="olga"), {"username": "olga"}),
        (kiosk.FACE, kiosk.Change(email=None), {"email": None}),
        (kiosk.FACE, kiosk.Change(phone=""), {"kiosk.phone": None}),
        (kiosk.FACE, kiosk.Change(is_verified=False), {"kiosk.verified": None}),
    ],
)
def test_only_the_fields_of_the_request_change_and_null_removes_traits(
    face: Face, body: BaseModel, changed: dict[str, Any]
) -> None:
    person = face.person(ANNA, body)

    traits = {name: value for name, value in {**TRAITS, **changed}.items() if value is not None}
    assert person.traits == {name: value for name, value in traits.items() if name in TRAITS}
    for name in ("email", "username", "name"):
        assert getattr(person, name) == changed.get(name, getattr(ANNA, name))


def test_a_true_trait_is_stored_as_yes() -> None:
    body = kiosk.NewAdmin(username="olga", password="12345678", is_verified=True)

    assert kiosk.FACE.person(Person(), body).traits == {"kiosk.verified": "yes"}
