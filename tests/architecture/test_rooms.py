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
    assert list(rooms.incomplete(HOME / service)) == []


@pytest.mark.parametrize("service", SERVICES)
def test_linter_and_page_name_all_subjects_in_the_same_order(service: str) -> None:
    if service in debt.WITHOUT_ORDER and not rooms.order(PYPROJECT, service):
        return

    assert list(rooms.disagreements(PYPROJECT, HOME / service)) == []


def test_no_room_uses_a_higher_room_of_another_subject() -> None:
    assert list(rooms.upward_imports(HOME)) == []


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


@pytest.mark.parametrize(("count", "complete"), [(0, False), (1, True), (10, True), (11, False)])
def test_a_service_without_subjects_or_with_more_than_ten_is_noticed(
    tmp_path: Path, count: int, complete: bool
) -> None:
    bakery = tmp_path / "bakery"
    (bakery / "migrations" / "versions").mkdir(parents=True)
    for number in range(count):
        (bakery / f"subject{number}").mkdir()
        (bakery / f"subject{number}" / "__init__.py").touch()
    (bakery / "README.md").touch()

    complaint = f"bakery has {count} subjects"
    assert list(rooms.incomplete(bakery)) == [complaint] * (not complete)


def test_a_service_without_page_or_schema_is_noticed(tmp_path: Path) -> None:
    assert list(rooms.incomplete(service(tmp_path))) == [
        "bakery has no README.md",
        "bakery has no migrations",
    ]


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("helpers", "bakery/helpers.py"),
        ("orders__manager", "bakery/orders/manager.py"),
        ("orders__services__dough", "bakery/orders/services/dough.py"),
        ("orders__domain", "bakery/orders/domain.py"),
        ("orders__domain__dough__rye", "bakery/orders/domain/dough"),
        ("orders__cakes__sponge", "bakery/orders/cakes/sponge.py"),
        ("orders__cakes__tarts__domain", "bakery/orders/cakes/tarts"),
    ],
    ids=[
        *("a file of its own", "a ninth room", "a ninth room that is a package", "a room twice"),
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


MADE_README = "# bakery\n```\norders\n  tills\n  ovens\n```\n"


@pytest.mark.parametrize(
    ("readme", "present", "complaints"),
    [
        (MADE_README, ("orders", "tills", "ovens"), 0),
        ("| ovens |\n| orders |\n| tills |\n", ("orders", "tills", "ovens"), 1),
        ("| orders |\n| tills |\n", ("orders", "tills", "ovens"), 1),
        ("orders use tills, and those ovens", ("orders", "tills", "ovens"), 1),
        (MADE_README, ("orders", "tills", "ovens", "bins"), 1),
        (MADE_README + "* bins\n", ("orders", "tills", "ovens", "bins"), 2),
        (MADE_README, ("orders", "tills"), 2),
    ],
    ids=[
        *("the same", "another order", "a subject left out", "prose alone"),
        *("a subject without a contract", "one that the page alone orders", "one that is gone"),
    ],
)
def test_a_page_that_differs_from_the_contract_is_noticed(
    tmp_path: Path, readme: str, present: tuple[str, ...], complaints: int
) -> None:
    for subject in present:
        (tmp_path / "bakery" / subject).mkdir(parents=True)
        (tmp_path / "bakery" / subject / "__init__.py").touch()
    (tmp_path / "bakery" / "README.md").write_text(readme)

    assert len(list(rooms.disagreements(MADE, tmp_path / "bakery"))) == complaints


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("orders__domain__loaf", "tills.handlers.pay", False),
        ("orders__handlers__bake", "tills.api.routes", False),
        ("orders__stores__queue", "tills.adapters.bank", False),
        ("orders__api__routes", "tills.cli.commands", False),
        ("orders__cakes__domain", "tills.handlers.pay", False),
        ("orders__handlers__bake", "tills.handlers.pay", True),
        ("orders__api__routes", "tills.domain.money", True),
        ("orders__stores__queue", "orders.adapters.bank", True),
        ("context", "tills.handlers.pay", True),
    ],
    ids=[
        *("handlers from a domain", "api from handlers", "an adapter from a store"),
        *("commands from an api", "from a sub-subject"),
        *("the same room", "a lower room", "inside one subject", "from no room"),
    ],
)
def test_an_import_of_a_higher_room_of_another_subject_is_noticed(
    tmp_path: Path, importer: str, imported: str, *, allowed: bool
) -> None:
    home, room = tmp_path / "services", f"services.bakery.{imported.rpartition('.')[0]}"
    text = f"def bake():\n    from {room} import {imported.rpartition('.')[2]}\n"
    service(home, **{imported.replace(".", "__"): "", importer: text})

    complaint = f"services.bakery.{importer.replace('__', '.')} -> {room}"
    assert list(rooms.upward_imports(home)) == [complaint] * (not allowed)


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
