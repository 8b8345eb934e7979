"""Every service has the same rooms, inside subjects that stand in one order.

The rules are in `rooms.py`; each is seen to fail here, in a made tree. What breaks them today is
named in `debt.py`: a list that may only shrink.
"""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture import debt, rooms
from tests.architecture.source import ROOT, name, tracked, tree

HOME = ROOT / "services"
SERVICES = [home.name for home in rooms.services(HOME)]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
MADE = """
[[tool.importlinter.contracts]]
containers = ["services.bakery"]
layers = ["(__main__)", "bootstrap", "orders", "(tills) | ovens"]
"""


def test_services_hold_subjects_and_subjects_hold_rooms() -> None:
    outside = {file for home in rooms.services(HOME) for file in rooms.misplaced(home)}
    excused = {file for file in outside if any(map(file.startswith, debt.MISPLACED))}

    assert outside - excused == set()
    assert {one for one in debt.MISPLACED if not any(file.startswith(one) for file in excused)} == (
        set()
    ), "these are mended: take them from the list"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_a_page_a_schema_and_few_subjects(service: str) -> None:
    home = HOME / service

    assert (home / "README.md").is_file()
    assert (home / "migrations" / "versions").is_dir()
    assert 0 < len(rooms.subjects(home)) <= rooms.MOST_SUBJECTS


@pytest.mark.parametrize("service", SERVICES)
def test_linter_and_page_name_all_subjects_in_the_same_order(service: str) -> None:
    order = rooms.order(PYPROJECT, service)
    if not order and service in debt.WITHOUT_ORDER:
        return

    subjects = rooms.subjects(HOME / service)
    assert sorted(order) == subjects
    assert rooms.named_in_readme((HOME / service / "README.md").read_text(), subjects) == order


def test_small_modules_are_not_cut_off_their_only_neighbour() -> None:
    assert {*rooms.small_neighbours(HOME)} == {*debt.SMALL_NEIGHBOURS}
    assert all(debt.SMALL_NEIGHBOURS.values()), "each has a reason"


def test_functions_are_short() -> None:
    long = {
        one
        for file in tracked()
        if file.suffix == ".py" and name(file).startswith(("libs/", "services/", "contracts/"))
        if "migrations" not in file.parts
        for one in rooms.long_functions(name(file), tree(file))
    }

    assert long == debt.LONG_FUNCTIONS


def service(home: Path, **files: str) -> Path:
    """A service `bakery` with one subject in the rooms `api`, `domain` and a sub-subject, and
    more files; `__` in their names stands for a slash."""
    usual = ("settings", "orders__api", "orders__domain__loaf", "orders__cakes__handlers")
    for path, text in (dict.fromkeys(usual, "") | files).items():
        file = home / "bakery" / f"{path.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        for folder in file.parents:
            if folder == home:
                break
            (folder / "__init__.py").touch()
    return home / "bakery"


def test_a_proper_service_is_accepted(tmp_path: Path) -> None:
    bakery = service(tmp_path, context="", orders__cakes__stores__queue="")

    assert list(rooms.misplaced(bakery)) == []
    assert rooms.subjects(bakery) == ["orders"]
    assert rooms.services(tmp_path) == [bakery]


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("helpers", "bakery/helpers.py"),
        ("orders__manager", "bakery/orders/manager.py"),
        ("orders__domain", "bakery/orders/domain.py"),
        ("orders__domain__dough__rye", "bakery/orders/domain/dough"),
        ("orders__cakes__sponge", "bakery/orders/cakes/sponge.py"),
        ("orders__cakes__tarts__domain", "bakery/orders/cakes/tarts"),
    ],
    ids=[
        *("a file of its own", "a room of its own", "a room twice"),
        *("a room in a room", "a room of a sub-subject", "a sub-sub-subject"),
    ],
)
def test_what_lies_in_no_room_is_noticed(tmp_path: Path, file: str, found: str) -> None:
    assert list(rooms.misplaced(service(tmp_path, **{file: ""}))) == [found]


def test_the_order_is_that_of_the_linter() -> None:
    assert rooms.order(MADE, "bakery") == ["orders", "tills", "ovens"]
    assert rooms.order(MADE, "bank") == []


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ("ovens are hot\n```\norders -> bakes\n  ovens\n```", ["orders", "ovens"]),
        ("| `ovens` | hot |\n| `orders` | late |", ["ovens", "orders"]),
        ("* `orders/`: what is wanted", ["orders"]),
    ],
    ids=["a picture", "a table in another order", "a list without one"],
)
def test_the_order_of_a_page_is_that_of_its_lists(page: str, named: list[str]) -> None:
    assert rooms.named_in_readme(page, ["orders", "ovens"]) == named


IMPORTS_LOAF = "def bake():\n    from bakery.orders.domain import loaf\n"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"orders__domain__oven": IMPORTS_LOAF}, ["bakery.orders.domain.loaf"]),
        ({"orders__domain__oven": IMPORTS_LOAF, "orders__domain__loaf": "\n" * 120}, []),
        ({"orders__domain__oven": IMPORTS_LOAF, "orders__handlers__bake": IMPORTS_LOAF}, []),
        ({"orders__handlers__bake": IMPORTS_LOAF}, []),
    ],
    ids=["small", "long enough", "two importers", "of another room"],
)
def test_a_small_neighbour_is_noticed(
    tmp_path: Path, files: dict[str, str], found: list[str]
) -> None:
    assert list(rooms.small_neighbours(service(tmp_path, **files))) == found


def test_a_long_function_is_noticed() -> None:
    def of(lines: int) -> str:
        return "class Oven:\n    async def bake(self):\n" + "        1\n" * (lines - 1)

    check: Callable[[int], list[str]] = lambda n: [*rooms.long_functions("oven", ast.parse(of(n)))]  # noqa: E731

    assert (check(40), check(41)) == ([], ["oven: bake"])
