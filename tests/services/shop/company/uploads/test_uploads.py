"""Images that staff upload, and their delivery (spec shop §4.7)."""

from typing import Any

import pytest
from httpx import AsyncClient, Response

from tests.libs.files.pictures import EXIF, HTML, SVG, decoded, encoded, large, with_metadata
from tests.services.shop.kit import TENANT, ShopKit, open_shop

FORMATS = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/png", "webp": "image/webp"}


async def upload(client: AsyncClient, data: bytes, name: str = "rose.jpg") -> Response:
    """Upload one image."""
    return await client.post("/api/upload/image", files={"file": (name, data, "text/html")})


async def upload_many(client: AsyncClient, *files: tuple[str, bytes]) -> Response:
    """Upload several images."""
    return await client.post("/api/upload/images", files=[("files", file) for file in files])


@pytest.mark.parametrize("suffix", FORMATS)
async def test_an_uploaded_image_is_delivered_to_everybody_as_what_it_is(
    shop: ShopKit, suffix: str
) -> None:
    async with shop.staff() as florist, shop.anonymous() as stranger:
        answer = await upload(florist, encoded(suffix), f"rose.{suffix}")
        assert answer.status_code == 201
        image = answer.json()
        delivered = await stranger.get(image["url"])

    assert image.keys() == {"message", "url", "original_name", "size"}
    assert (image["original_name"], image["size"]) == (f"rose.{suffix}", len(delivered.content))
    assert image["url"].startswith("/uploads/")
    assert decoded(delivered.content).width == 64
    assert delivered.headers["content-type"] == FORMATS[suffix]
    assert delivered.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in delivered.headers["content-security-policy"]


async def test_where_and_with_what_a_photo_was_taken_is_not_delivered(shop: ShopKit) -> None:
    async with shop.staff() as florist:
        url = (await upload(florist, with_metadata("jpg"))).json()["url"]
        delivered = await florist.get(url)

    assert EXIF not in delivered.content


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.jpg", HTML),
        ("page.html", HTML),
        ("drawing.svg", SVG),
        ("drawing.png", SVG),
        ("rose.php", encoded("jpg")),
        ("rose.png", encoded("jpg")),
        ("rose.jpg", encoded("jpg")[:200]),
        ("empty.jpg", b""),
    ],
)
async def test_what_is_no_image_or_another_one_than_its_name_says_is_refused(
    shop: ShopKit, name: str, data: bytes
) -> None:
    async with shop.staff() as florist:
        answer = await upload(florist, data, name)

    assert answer.status_code == 400
    assert answer.json()["detail"] == "Загрузите изображение: JPEG, PNG, GIF или WebP"
    assert await shop.fetch_value("SELECT count(*) FROM stored_file") == 0


@pytest.mark.parametrize("excess", [1, 10_000_000])
async def test_an_image_above_the_limit_is_refused(shop: ShopKit, excess: int) -> None:
    limit = shop.settings.max_file_bytes
    async with shop.staff() as florist:
        answer = await upload(florist, encoded("jpg").ljust(limit + excess, b"\0"))

    assert answer.status_code == 413
    assert isinstance(answer.json()["detail"], str)


async def test_a_form_without_the_file_is_refused_with_one_text(shop: ShopKit) -> None:
    async with shop.staff() as florist:
        wrong = await florist.post("/api/upload/image", files={"photo": ("a.jpg", large())})
        none = await florist.post("/api/upload/images", json={})

    assert (wrong.status_code, none.status_code) == (422, 422)
    assert isinstance(wrong.json()["detail"], str)


async def test_of_several_images_all_are_stored(shop: ShopKit) -> None:
    async with shop.staff() as florist:
        answer = await upload_many(florist, ("a.jpg", large()), ("b.png", encoded("png")))
        images = answer.json()["images"]
        delivered = [await florist.get(image["url"]) for image in images]

    assert answer.status_code == 201
    assert [image["original_name"] for image in images] == ["a.jpg", "b.png"]
    assert [one.status_code for one in delivered] == [200, 200]
    assert [image["size"] for image in images] == [len(one.content) for one in delivered]


async def test_of_several_images_none_is_stored_if_one_of_them_is_refused(shop: ShopKit) -> None:
    async with shop.staff() as florist:
        answer = await upload_many(florist, ("a.jpg", large()), ("b.jpg", HTML))

    assert answer.status_code == 400
    assert (await shop.deps.files.usage(TENANT)).files == 0


async def test_every_shop_has_room_of_its_own(database: str) -> None:
    image = large()
    async with (
        open_shop(database, file_quota_bytes=len(image) * 3 // 2) as shop,
        shop.staff() as florist,
        shop.staff(number=8) as other,
    ):
        answers = [await upload(client, image) for client in (florist, florist, other)]

    assert [one.status_code for one in answers] == [201, 507, 201]


async def test_only_staff_may_upload(shop: ShopKit) -> None:
    async with shop.anonymous() as stranger, shop.staff("settings") as member:
        answers = [await upload(client, large()) for client in (stranger, member)]

    assert [one.status_code for one in answers] == [401, 403]


@pytest.mark.parametrize("name", ["x", "..%2f..%2fetc%2fpasswd", "0" * 36 + ".jpg", "%00.jpg"])
async def test_there_is_no_file_with_another_name(shop: ShopKit, name: str) -> None:
    async with shop.anonymous() as stranger:
        answer: Any = await stranger.get(f"/uploads/{name}")

    assert answer.status_code == 404
