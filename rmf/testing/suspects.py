"""What in a line's source may make it answer differently elsewhere: hints, next to a finding.

It reads source, runs nothing, and proves nothing: what it names is where to look first. Whether a
line is deterministic, only running it again tells (see rerun).
"""

import ast
from typing import NamedTuple

__all__ = ["CAUSES", "Suspect", "suspects"]

# What a run again may differ by, and what that means in a handler.
CAUSES = {
    "hash": "it depends on the order of a set, or on hash()",
    "clock": "it reads a clock",
    "zone": "it depends on the time zone or the locale",
    "chance": "it draws from the global random numbers; packet.random is the same everywhere",
    "process": "it depends on the process: its id, addresses of objects, entropy, the environment",
    "state": "it keeps something from one call to the next, outside the World",
}

_CLOCK = {"now", "utcnow", "today"}
_ZONE = {"localtime", "strftime", "ctime", "fromtimestamp", "astimezone", "mktime", "tzset"}
_ZONE_MODULES = ("locale", "zoneinfo")
_PROCESS = (
    "id",
    "input",
    "open",
    "os",
    "pathlib",
    "platform",
    "secrets",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "uuid",
)
_MUTATORS = {
    "add",
    "append",
    "appendleft",
    "clear",
    "discard",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "setdefault",
    "update",
}


class Suspect(NamedTuple):
    """A place in the source: its line, the function it stands in ("<module>": none, it runs when
    the line is imported), its text, and what for."""

    line: int
    function: str
    text: str
    cause: str


def suspects(source: str) -> list[Suspect]:
    """Return the suspects in a module's source, by line; of a source that is no Python, none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    visitor = _Visitor(tree, source.splitlines())
    visitor.visit(tree)
    return sorted(set(visitor.found))


class _Visitor(ast.NodeVisitor):
    def __init__(self, tree: ast.Module, lines: list[str]) -> None:
        self.found: list[Suspect] = []
        self._lines = lines
        self._functions = ["<module>"]
        self._names: dict[str, str] = {}
        self._globals: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._names[alias.asname or alias.name] = alias.name
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self._names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            self._globals |= {x.id for x in targets if isinstance(x, ast.Name)}

    def _note(self, node: ast.AST, cause: str) -> None:
        line: int = getattr(node, "lineno", 0)
        text = self._lines[line - 1].strip() if line else ""
        self.found.append(Suspect(line, self._functions[-1], text, cause))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._functions.append(node.name)
        for part in node.body:
            self.visit(part)
        self._functions.pop()

    # --- What is called -------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> None:
        name = self._dotted(node.func)
        cause = _cause_of(name)
        if cause is not None:
            self._note(node, cause)
        elif isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if node.func.attr in _MUTATORS and self._is_global(owner):
                self._note(node, "state")
        elif name == "next" and node.args and self._is_global(node.args[0]):
            self._note(node, "state")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if self._dotted(node).startswith("os.environ"):
            self._note(node, "process")
        self.generic_visit(node)

    def _dotted(self, node: ast.AST) -> str:
        if isinstance(node, ast.Name):
            return self._names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            before = self._dotted(node.value)
            return f"{before}.{node.attr}" if before else ""
        return ""

    # --- What is written ------------------------------------------------------------------------

    def visit_Set(self, node: ast.Set) -> None:
        self._note(node, "hash")
        self.generic_visit(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._note(node, "hash")
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self._note(node, "state")

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._note(node, "state")

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load) and self._is_global(node.value):
            self._note(node, "state")
        self.generic_visit(node)

    def _is_global(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id in self._globals


def _cause_of(name: str) -> str | None:
    """Return what a call of this name may depend on."""
    parts = name.split(".")
    if name in {"set", "frozenset", "hash"}:
        return "hash"
    if parts[-1] in _ZONE or parts[0] in _ZONE_MODULES:
        return "zone"
    if (parts[0] == "time" and len(parts) > 1) or parts[-1] in _CLOCK:
        return "clock"
    if parts[0] == "random" and len(parts) > 1:
        return "chance"
    if parts[0] in _PROCESS and (len(parts) > 1 or parts[0] in {"id", "input", "open"}):
        return "process"
    return None
