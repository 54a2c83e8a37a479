"""Modules as syntax trees: what the house rules look at. Nothing is imported or run."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Module(NamedTuple):
    """One parsed file. `name` is dotted; a package's is the package's own."""

    path: str  # relative to the repository, with slashes
    name: str
    source: str
    tree: ast.Module


def parse(path: str, source: str) -> Module:
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Module(path, name, source, ast.parse(source, path))


def read(root: Path, folders: Sequence[str]) -> list[Module]:
    files = sorted(file for folder in folders for file in (root / folder).rglob("*.py"))
    return [parse(file.relative_to(root).as_posix(), file.read_text()) for file in files]


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Give (line, dotted name) for everything a module imports, with what `from` takes added."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            # A name that is computed cannot be followed; the first argument as a constant can.
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield node.lineno, argument.value


def within(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
