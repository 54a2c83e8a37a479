"""The house rule on asserts in loops: a test whose asserts all stand in loops over what is computed
passes where there is nothing to loop over. It asserts elsewhere that there is something.

What Hypothesis draws may be empty; a loop over a literal, a range or a constant is not.
"""

import ast
from collections.abc import Sequence

from tests.syntax import Module, within

_WRAPPERS = {"enumerate", "list", "map", "product", "range", "reversed", "sorted", "zip"}


def asserts_are_reached(modules: Sequence[Module]) -> list[str]:
    return [
        f"{module.path}:{test.lineno} {test.name} asserts only in loops over what is computed:"
        " where that is empty, it passes; assert that there is something"
        for module in modules
        if within(module.name, ["tests"])
        for test in ast.walk(module.tree)
        if isinstance(test, (ast.FunctionDef, ast.AsyncFunctionDef))
        and test.name.startswith("test_")
        and not any("given" in ast.unparse(x) for x in test.decorator_list)
        and _hides_its_asserts(test)
    ]


def _hides_its_asserts(test: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    loops = [x for x in ast.walk(test) if isinstance(x, (ast.For, ast.AsyncFor)) and _claims(x)]
    inside = {claim for loop in loops for claim in _claims(loop)}
    known = dict(binding for x in ast.walk(test) for binding in _bindings(x))
    fixed = any(_is_fixed(x.iter, known) for x in loops)
    return bool(inside) and inside == _claims(test) and not fixed


def _claims(node: ast.AST) -> set[ast.AST]:
    """Return the asserts in it, and the other ways to fail."""
    return {
        x
        for x in ast.walk(node)
        if isinstance(x, ast.Assert)
        or (isinstance(x, ast.Call) and ast.unparse(x.func).startswith(("pytest.", "assert_")))
    }


def _bindings(node: ast.AST) -> list[tuple[str, ast.expr]]:
    match node:
        case ast.Assign([ast.Name(name)], value):
            return [(name, value)]
    return []


def _is_fixed(iterated: ast.expr, known: dict[str, ast.expr]) -> bool:
    match iterated:
        case ast.Tuple(elts) | ast.List(elts) | ast.Set(elts):
            return any(not isinstance(x, ast.Starred) for x in elts)
        case ast.Dict(keys):
            return bool(keys)
        case ast.Constant():
            return True
        case ast.ListComp(_, [ast.comprehension(iter=source, ifs=[])]):
            return _is_fixed(source, known)
        case ast.Call(ast.Name(name), arguments) if name in _WRAPPERS:
            return name == "range" or any(_is_fixed(x, known) for x in arguments)
        case ast.Call(ast.Attribute(source, "items" | "keys" | "values")):
            return _is_fixed(source, known)
        case ast.Name(name) if name in known:
            return _is_fixed(known[name], {k: v for k, v in known.items() if k != name})
        case ast.Name(name) | ast.Attribute(attr=name):
            return name.isupper()
    return False
