"""The settings of a shop, as the admin reads and changes them (spec shop §4.7)."""

from tests.services.shop.kit import ShopKit


async def test_a_new_shop_has_the_default_settings(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        answer = await admin.get("/api/settings/")

    assert answer.status_code == 200
    settings = answer.json()
    assert settings["id"] == 7
    assert settings["working_hours"] == {"from": "09:00", "to": "21:00"}
    assert len(settings["delivery_zones"]) == 6
    assert {zone["price"] for zone in settings["delivery_zones"]} <= {*range(2000, 5001)}


async def test_a_change_replaces_the_given_fields_only_and_is_read_at_once(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        first = await admin.patch("/api/settings", json={"name": "Цветы", "phones": ["+7701"]})
        changed = await admin.patch(
            "/api/settings/", json={"working_hours": {"from": "10:00", "to": "20:30"}}
        )
        read = await admin.get("/api/settings")

    assert first.status_code == changed.status_code == 200
    assert changed.json() == read.json()
    settings = read.json()
    assert (settings["name"], settings["phones"]) == ("Цветы", ["+7701"])
    assert settings["working_hours"] == {"from": "10:00", "to": "20:30"}
    assert settings["created_at"] < settings["updated_at"]


async def test_shops_do_not_share_settings(shop: ShopKit) -> None:
    async with shop.staff() as admin, shop.staff(number=8) as other:
        await admin.patch("/api/settings/", json={"name": "Цветы"})
        settings = (await other.get("/api/settings/")).json()

    assert (settings["id"], settings["name"]) == (8, "")


async def test_a_zone_that_exists_gets_the_new_price(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        await admin.post("/api/settings/delivery-zones", json={"name": "Аэропорт", "price": 6000})
        added = await admin.post(
            "/api/settings/delivery-zones", json={"name": "Аэропорт", "price": 6500}
        )
        zones = (await admin.get("/api/settings/delivery-zones")).json()

    assert added.status_code == 201
    assert zones["total"] == 7
    assert zones["items"] == added.json()["zones"]
    assert zones["items"][-1] == {"name": "Аэропорт", "price": 6500}


async def test_a_member_without_the_permission_and_a_stranger_are_refused(shop: ShopKit) -> None:
    async with shop.staff("orders") as florist, shop.anonymous() as stranger:
        forbidden = await florist.get("/api/settings/")
        unknown = await stranger.get("/api/settings/")

    assert (forbidden.status_code, unknown.status_code) == (403, 401)


async def test_a_refusal_is_one_text_with_its_faults_beside_it(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        answer = await admin.patch(
            "/api/settings/", json={"working_hours": {"from": "25:00", "to": "20:00"}}
        )

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)
    assert answer.json()["errors"][0]["loc"][-1] == "from"
