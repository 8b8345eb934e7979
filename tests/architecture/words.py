"""The private words of an earlier time, which the glossary replaced by the field's own.

`definitions` lists what a module names: itself, its functions, classes, constants and fields.
Parameters and local variables are free.
"""

import ast
from collections.abc import Iterator
from typing import Final

PRONOUNS: Final = {
    *("told", "said", "found", "asked", "shown", "heard", "standing", "turn", "look", "keep"),
    *("place", "lead", "opened", "thing", "somebody", "whoever", "nobody"),
}
"""Never names of definitions, in upper or lower case."""

REPLACED: Final = {
    # Operations and their device.
    *("Ends", "errand", "Errand", "Gear", "Told", "Turns", "having", "Circuits", "Case"),
    *("settle", "began", "telling", "abandoned", "doubt", "failed_so", "ordering"),
    *("Ordered", "only_if", "Desk", "Remembered", "racing", "sending", "forgetting", "Forgetting"),
    *("beside", "unshown", "with_forgotten", "showing", "copy_standing", "Copy", "relaxation"),
    *("STRICTLY", "set_so", "healing", "remedy", "handed", "Handed", "copies", "heard_driver"),
    *("guarded", "countdown", "Countdown", "Bell", "CarryOut", "Teller", "converse", "Bench"),
    *("Office", "too_much", "waiting"),
    # Questions to the read models.
    *("asking", "Asking", "Asked", "AskedFor", "AskedBack", "storable", "question", "Question"),
    *(
        "wanted",
        "Wanted",
        "wording",
        "worded",
        "remembered",
        "turned",
        "Turned",
        "tell",
        "tolerant",
    ),
    *("harmless", "restored"),
    # The gateway's doors and people.
    *("planned", "decided", "role_now", "acting", "Acting", "turns", "tries", "Answers"),
    *("hang_up", "unless_gone", "hidden_retry", "passes", "Passes", "behind", "own", "inner"),
    *("InnerRooms", "listed", "Listed", "pace", "Patience", "introduced", "admitted", "Boss"),
    *("take_on", "BeyondOwn", "OwnStanding", "shop_personnel"),
    # Libraries.
    *("sift", "Sifted", "tick", "Tick", "edition", "Edition", "generation", "Schemas", "beginning"),
    *("unpark", "rounds", "mending", "Lane", "Letter", "Consumption", "Pace", "Shipment", "Load"),
    *("Cause", "Arrival", "intake", "Freshness", "hint", "align", "Raced", "guess", "replan"),
    *("reach", "Span", "Broken"),
}
"""The glossary's left column, as it is spelled; leading underscores do not count."""


def definitions(stem: str, module: ast.Module) -> Iterator[str]:
    """The names that a module defines; local variables and parameters are none of them."""
    yield stem
    yield from _assigned(module)
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield node.name
            yield from _assigned(node)


def _assigned(scope: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in scope.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Assign):
            targets = node.targets
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def is_avoided(name: str) -> bool:
    """Whether the glossary has another word for a definition of this name."""
    bare = name.strip("_")
    return bare.lower() in PRONOUNS or bare in REPLACED


def avoided(stem: str, module: ast.Module) -> set[str]:
    """The definitions of a module that the glossary names otherwise, without underscores."""
    return {name.strip("_") for name in definitions(stem, module) if is_avoided(name)}
