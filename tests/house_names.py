"""House rules about names: one name means one thing, and a package lists what is in it."""

import ast
import re
from collections import defaultdict
from collections.abc import Sequence

from tests.house_rules import Exceptions
from tests.syntax import Module

__all__ = ["a_name_means_one_thing", "the_floor_lists_all_of_it"]


def a_name_means_one_thing(modules: Sequence[Module], exceptions: Exceptions) -> list[str]:
    """Classes and modules are called apart below rmf/; `exceptions` are names, with a reason."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        if not module.path.startswith("rmf/"):
            continue
        file = module.path.rpartition("/")[2].removesuffix(".py")
        if not file.startswith("__"):
            places[file].append(module.path)
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{module.path}:{node.lineno}")
    return [
        f"{found[-1]} is called {name!r}, as {found[0]} is: one name means one thing"
        for name, found in sorted(places.items())
        if len(found) > 1 and name not in exceptions
    ]


def the_floor_lists_all_of_it(modules: Sequence[Module]) -> list[str]:
    """The page of a package names each of its files."""
    package = [x for x in modules if x.path.startswith("rmf/floor/")]
    pages = [ast.get_docstring(x.tree) or "" for x in package if x.path == "rmf/floor/__init__.py"]
    listed = {word.lower() for page in pages for word in re.findall(r"\w+", page)}
    files = (x.path.rpartition("/")[2].removesuffix(".py") for x in package)
    return [
        f"rmf/floor/__init__.py does not list {file!r}: a reader finds all of it there, by role"
        for file in sorted(files)
        if file != "__init__" and file not in listed
    ]
