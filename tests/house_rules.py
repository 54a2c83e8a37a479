"""The house rules that a program can hold, each a function from parsed modules to complaints.

A complaint names the place and ends with the rule's reason. Imports are followed wherever they
stand, inside functions and under TYPE_CHECKING too: a direction that only types follow is a
direction. `test_architecture` holds the repository against these rules and shows each of them a
planted violation.
"""

import ast
import re
from collections.abc import Mapping, Sequence

from tests.syntax import Module, called, dotted, imports, within

FILE_LINES_MAX = 350
FUNCTION_LINES_MAX = 60

Exceptions = Mapping[str, str]  # path, or folder with its slash -> the reason

# --- Directions ---------------------------------------------------------------------------

# What the core may import besides itself: an allow list, so that nothing slips in by being new.
_LANGUAGE = {"abc", "collections", "dataclasses", "enum", "functools", "itertools", "operator"}
_TEXT_AND_NUMBERS = {"bisect", "hashlib", "heapq", "math", "re", "struct", "textwrap", "typing"}
_EVIDENCE = {"traceback", "types"}  # reads exceptions, does nothing
_MEMORY = {"io.BytesIO"}  # bytes with a place in them: what cbor2 reads from; no other part of io
_VALUES = {"attrs", "cbor2", "crc32c", "immutables", "sortedcontainers", "xxhash"}
_PURE = _LANGUAGE | _TEXT_AND_NUMBERS | _EVIDENCE | _MEMORY | _VALUES

# Package -> (what of RMF it may import, why nothing else). `rmf` alone is the users' façade.
DIRECTIONS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "rmf.limits": ((), "the limits page knows numbers and nothing else"),
    "rmf.errors": ((), "everything may raise errors, so they know nothing"),
    "rmf.interpreter": (("rmf.native",), "it says what this process runs on, and knows no more"),
    "rmf.native": (
        ("rmf.native", "rmf.limits"),
        "what is compiled has a twin in Python, and knows neither it nor what it is for",
    ),
    "rmf.core": (
        ("rmf.core", "rmf.native", "rmf.limits", "rmf.errors"),
        "core decides over values and knows none of floor, storage, line, client, tools (§14)",
    ),
    "rmf.storage": (
        ("rmf.storage", "rmf.core", "rmf.native", "rmf.limits", "rmf.errors"),
        "storage keeps what core says, for whoever calls it (§14)",
    ),
    "rmf.line": (
        ("rmf.line", "rmf.core", "rmf.native", "rmf.limits", "rmf.errors"),
        "a line runs without a node: in the glove box, in replay, in a test (§14)",
    ),
    "rmf.client": (
        ("rmf.client", "rmf.core", "rmf.native", "rmf.limits", "rmf.errors"),
        "a client knows the wire, never the node's inside (§14)",
    ),
    "rmf.floor": (
        (
            "rmf.floor",
            "rmf.core",
            "rmf.storage",
            "rmf.line",
            "rmf.limits",
            "rmf.errors",
            "rmf.config",
            "rmf.interpreter",
            "rmf.notation",
        ),
        "the directions are floor → core, storage, line (§14)",
    ),
}


def packages_import_only_in_their_direction(modules: Sequence[Module]) -> list[str]:
    found = []
    for module in modules:
        for package, (allowed, reason) in DIRECTIONS.items():
            if not within(module.name, [package]):
                continue
            found += [
                f"{module.path}:{line} imports {name}: {reason}"
                for line, name in imports(module)
                if within(name, ["rmf", "tools", "tests"])
                and not within(name, (*allowed, "rmf.__version__"))
            ]
    return found


def tools_and_testing_never_import_the_floor(modules: Sequence[Module]) -> list[str]:
    return [
        f"{module.path}:{line} imports {name}: tools speak the wire or read the disk; who imports"
        " the floor starts half a node (§14)"
        for module in modules
        if within(module.name, ["tools", "rmf.demo", "rmf.testing"])
        for line, name in imports(module)
        if within(name, ["rmf.floor"])
    ]


def core_knows_nothing_of_the_outside_world(modules: Sequence[Module]) -> list[str]:
    return [
        f"{module.path}:{line} imports {name}: core is sans-IO and takes pure modules"
        " only; time, randomness and bytes come in as arguments, wishes go out as effects (R12)"
        for module in modules
        if within(module.name, ["rmf.core"])
        for line, name in imports(module)
        if not within(name, _PURE | {"rmf"})
    ]


def core_neither_waits_nor_speaks(modules: Sequence[Module]) -> list[str]:
    found = []
    for module in modules:
        if not within(module.name, ["rmf.core"]):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)):
                what = "is asynchronous"
            elif isinstance(node, ast.Call) and dotted(node.func) in {"print", "input", "open"}:
                what = f"calls {called(node)}"
            else:
                continue
            found.append(
                f"{module.path}:{node.lineno} {what}: core takes Events and returns Effects, it"
                " never does anything itself (R12, R13)"
            )
    return found


def sibling_tasks_never_import_each_other(modules: Sequence[Module]) -> list[str]:
    """A module of the floor with a public coroutine `run` is a task."""
    tasks = {module.name for module in modules if is_task(module)}
    return [
        f"{module.path}:{line} imports {name}: tasks meet through the channels in doors.py alone,"
        " so that each can fail and come back by itself (R14)"
        for module in modules
        if module.name in tasks
        for line, name in imports(module)
        if any(within(name, [task]) for task in tasks - {module.name})
    ]


# What joins tasks past all doors: to be called back, or to hold what another one holds.
_JOINTS = {"Callable", "Awaitable", "Lock", "CapacityLimiter", "Event", "Condition", "Semaphore"}


def tasks_take_ends_and_values(modules: Sequence[Module], exceptions: Exceptions) -> list[str]:
    """`exceptions`: a parameter of a task, as `path:name`, and what is still joined by it."""
    return [
        f"{module.path}:{parameter.lineno} `run` takes `{parameter.arg}`, a"
        f" {joint}: a task gets channel ends and values, nothing else joins it to another (R14)"
        for module in modules
        if within(module.name, ["rmf.floor"])
        for parameter in _parameters_of_run(module)
        if (joint := _joint_of(parameter)) and f"{module.path}:{parameter.arg}" not in exceptions
    ]


def _parameters_of_run(module: Module) -> list[ast.arg]:
    """What a task gets; one that is a class gets it when it is made."""
    makers: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    for node in module.tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "run":
            makers.append(node)
        elif isinstance(node, ast.ClassDef):
            methods = {x.name: x for x in node.body if isinstance(x, _FUNCTIONS)}
            run = methods.get("run")
            if run is not None and any(x.arg == "hands" for x in run.args.args):
                makers += [methods[name] for name in ("__init__",) if name in methods]
    return [
        parameter
        for maker in makers
        for parameter in (*maker.args.posonlyargs, *maker.args.args, *maker.args.kwonlyargs)
    ]


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _joint_of(parameter: ast.arg) -> str | None:
    if parameter.annotation is None:
        return None
    names = {
        part.attr if isinstance(part, ast.Attribute) else part.id
        for part in ast.walk(parameter.annotation)
        if isinstance(part, (ast.Name, ast.Attribute))
    }
    return min(names & _JOINTS, default=None)


def is_task(module: Module) -> bool:
    return within(module.name, ["rmf.floor"]) and any(
        isinstance(node, ast.AsyncFunctionDef) and node.name == "run" for node in module.tree.body
    )


# --- Circles and cuts ---------------------------------------------------------------------

# Where no file may lead back to itself.
WITHOUT_CIRCLES = (
    *("rmf.core", "rmf.floor", "rmf.line", "rmf.storage", "rmf.client", "rmf.testing"),
    "tools",
)


def modules_never_import_in_a_circle(modules: Sequence[Module]) -> list[str]:
    """One complaint per circle, at its first module by name."""
    lines = {
        module.name: {
            _the_module(name, modules): line for line, name in reversed([*imports(module)])
        }
        for module in modules
        if within(module.name, WITHOUT_CIRCLES)
    }
    found, told = [], set[str]()
    for module in sorted(modules):
        way = _way_back(module.name, lines)
        if way and told.isdisjoint(way):
            told.update(way)
            found.append(
                f"{module.path}:{lines[module.name][way[0]]} imports {way[0]}, which leads back by"
                f" {', '.join(way[1:])}: files in a circle are one file that is cut, none of them"
                " can be read or changed alone; what both need goes below both"
            )
    return found


def _way_back(start: str, graph: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the shortest way of imports from a module to itself; empty if there is none."""
    ways = {name: [name] for name in graph.get(start, {}) if name != start}
    queue = list(ways)
    for at in queue:
        for name in graph.get(at, {}):
            if name == start:
                return [*ways[at], start]
            if name not in ways:
                ways[name] = [*ways[at], name]
                queue.append(name)
    return []


def classes_of_the_core_are_whole(modules: Sequence[Module], exceptions: Exceptions) -> list[str]:
    """`exceptions`: a class, as `path:name`, and why it may stand on another file's."""
    cores = [module for module in modules if within(module.name, ["rmf.core"])]
    stateful = {
        f"{module.name}.{node.name}"
        for module in cores
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and _holds_state(node)
    }
    return [
        f"{module.path}:{node.lineno} {node.name} inherits the state of {base}: a class that is cut"
        " into files by inheritance is still one object that all of them change; make it of parts"
        " that own theirs"
        for module in cores
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and f"{module.path}:{node.name}" not in exceptions
        for base in _bases_elsewhere(node, module)
        if base in stateful
    ]


def _holds_state(node: ast.ClassDef) -> bool:
    """Whether its objects change, or may: it sets attributes of `self`, or attrs makes them."""
    makers = {dotted(x.func if isinstance(x, ast.Call) else x) for x in node.decorator_list}
    return bool(makers & {"attrs.define", "attrs.frozen", "attrs.mutable"}) or any(
        isinstance(part, ast.Attribute)
        and isinstance(part.ctx, ast.Store)
        and dotted(part.value) == "self"
        for part in ast.walk(node)
    )


def _bases_elsewhere(node: ast.ClassDef, module: Module) -> list[str]:
    """Return the full names of a class's bases that are imported; in one file nothing is cut."""
    known = {name.rpartition(".")[2]: name for _, name in imports(module)}
    names = [dotted(x.value if isinstance(x, ast.Subscript) else x) for x in node.bases]
    heads = [(known.get(name.partition(".")[0]), name.partition(".")[2]) for name in names]
    return [f"{head}.{rest}" if rest else head for head, rest in heads if head is not None]


# --- Bounds -------------------------------------------------------------------------------


def channels_take_their_capacity_from_the_limits_page(modules: Sequence[Module]) -> list[str]:
    found = []
    for module in modules:
        for node in ast.walk(module.tree):
            # `open_memory_channel[T](capacity)`: the call's function is a subscript.
            if not isinstance(node, ast.Call):
                continue
            function = node.func.value if isinstance(node.func, ast.Subscript) else node.func
            if not dotted(function).endswith("open_memory_channel"):
                continue
            if not node.args or not _is_a_named_bound(node.args[0]):
                found.append(
                    f"{module.path}:{node.lineno} opens a channel of its own size: every bound has"
                    " one place, a name and a reason, and nothing is unbounded (limits.py, R16)"
                )
    return found


def _is_a_named_bound(capacity: ast.expr) -> bool:
    """A limit, a value made of limits, or a name that holds one; 0 and 1 are no sizes, but forms:
    a rendezvous, and a place for the newest or the only one."""
    if isinstance(capacity, ast.Constant):
        return capacity.value in {0, 1}
    names = [dotted(part) for part in ast.walk(capacity) if isinstance(part, ast.expr)]
    if any(name.endswith("inf") for name in names):
        return False
    return isinstance(capacity, (ast.Name, ast.Attribute)) or any(
        name.startswith("limits.") for name in names
    )


# --- Shape --------------------------------------------------------------------------------


def every_module_says_what_it_decides(modules: Sequence[Module]) -> list[str]:
    return [
        f"{module.path}:1 has no docstring: each file opens with what it decides and may know"
        for module in modules
        if module.source.strip() and not ast.get_docstring(module.tree)
    ]


def files_stay_short(modules: Sequence[Module], exceptions: Exceptions) -> list[str]:
    return [
        f"{module.path} has {lines} lines: one idea per file, at most {FILE_LINES_MAX} lines"
        for module in modules
        if (lines := len(module.source.splitlines())) > FILE_LINES_MAX
        and not _is_excepted(module, exceptions)
    ]


def functions_fit_on_a_screen(modules: Sequence[Module], exceptions: Exceptions) -> list[str]:
    return [
        f"{module.path}:{node.lineno} {node.name} has {lines} lines without its docstring: a"
        f" function fits on a screen, at most {FUNCTION_LINES_MAX} lines"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := _code_lines(node)) > FUNCTION_LINES_MAX
        and not _is_excepted(module, exceptions)
    ]


def _is_excepted(module: Module, exceptions: Exceptions) -> bool:
    folders = [path for path in exceptions if path.endswith("/")]
    return module.path in exceptions or any(module.path.startswith(path) for path in folders)


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def public_names_are_sorted_and_exist(modules: Sequence[Module]) -> list[str]:
    found = []
    for module in modules:
        for node in module.tree.body:
            if not (isinstance(node, ast.Assign) and _targets(node) == ["__all__"]):
                continue
            names = [e.value for e in ast.walk(node.value) if isinstance(e, ast.Constant)]
            if names != sorted(names, key=_isort_style):
                found.append(f"{module.path}:{node.lineno} __all__ is not sorted: readers look up")
            if not any(_targets(n) == ["__getattr__"] for n in module.tree.body):
                missing = set(map(str, names)) - _bound(module)
                found += [f"{module.path} exports {name}, which is not there" for name in missing]
    return found


def _isort_style(name: object) -> tuple[int, str]:
    """Constants, then classes, then functions, as the linter sorts them."""
    text = str(name)
    return (0 if text.isupper() else 1 if text[:1].isupper() else 2, text)


def _bound(module: Module) -> set[str]:
    """Return the names that a module's top level binds, TYPE_CHECKING blocks included."""
    names: set[str] = set()
    for node in ast.walk(module.tree):
        names.update(_targets(node))
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [dotted(node.target)]
    if isinstance(node, ast.Assign):
        parts = [part for target in node.targets for part in ast.walk(target)]
        return [part.id for part in parts if isinstance(part, ast.Name)]
    return []


def files_are_named_after_what_they_do(modules: Sequence[Module]) -> list[str]:
    vague = {"utils", "util", "common", "helpers", "misc", "manager", "base"}
    return [
        f"{module.path}: a name that says nothing gathers everything; name the one idea"
        for module in modules
        if module.name.rpartition(".")[2] in vague
    ]


# --- Prose --------------------------------------------------------------------------------

_STIFF = re.compile(r"\b(whoever|nobody|anew|(?:is|are)\s+(?:#\s*)?told)\b", re.IGNORECASE)
_DATA = re.compile(r"""(["'])[^\s"']*\1""")  # a string without a blank: a topic, a key, a name


def the_prose_is_plain(modules: Sequence[Module]) -> list[str]:
    """Modules, and pages as `test_architecture` reads them: text is all that is looked at."""
    found = []
    for module in modules:
        text = _DATA.sub(lambda data: " " * len(data[0]), module.source)
        found += [
            f"{module.path}:{text.count(chr(10), 0, stiff.start()) + 1} says"
            f" {' '.join(stiff[0].replace('#', '').split())!r}: name the subject, as a node or a"
            " client, and say again, receives: no reader should need a dictionary"
            for stiff in _STIFF.finditer(text)
        ]
    return found


# --- Tests --------------------------------------------------------------------------------


def the_tests_mirror_the_code(modules: Sequence[Module], exceptions: Exceptions) -> list[str]:
    """What stands in rmf/x/y.py is tested in tests/x/: by test_y*.py, or by one that imports it."""
    tested: dict[str, set[str]] = {}
    for test in modules:
        folder, _, file = test.path.rpartition("/")
        if within(test.name, ["tests"]) and file.startswith("test_"):
            names = {_the_module(name, modules) for _, name in imports(test)}
            tested.setdefault(folder, set()).update(names, [file])
    found = []
    for module in modules:
        if within(module.name, ["tests"]) or not _has_behaviour(module):
            continue
        folder, _, file = f"tests/{module.path.removeprefix('rmf/')}".rpartition("/")
        known = tested.get(folder, set())
        start = f"test_{file.removesuffix('.py').strip('_')}"
        if (
            module.name not in known
            and not any(name.startswith(start) for name in known)
            and not _is_excepted(module, exceptions)
        ):
            found.append(
                f"{module.path} has no {folder}/{start}.py, and no test there imports it: who"
                " changes a file finds its tests in the same place"
            )
    return found


def _the_module(name: str, modules: Sequence[Module]) -> str:
    """Return the module that an imported name is, or belongs to."""
    known = {module.name for module in modules}
    return name if name in known else name.rpartition(".")[0]


def _has_behaviour(module: Module) -> bool:
    """A page of types, numbers or names has nothing to test by itself."""
    return any(isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) for n in module.tree.body)


def the_tests_use_the_real_thing(modules: Sequence[Module]) -> list[str]:
    found = []
    for module in modules:
        if not within(module.name, ["tests"]):
            continue
        places = [(line, name) for line, name in imports(module) if _is_a_stand_in(name)]
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and dotted(node.func) == "time.sleep":
                places.append((node.lineno, "time.sleep"))
            elif isinstance(node, ast.arg) and node.arg in {"monkeypatch", "mocker"}:
                places.append((node.lineno, node.arg))
        found += [
            f"{module.path}:{line} uses {name}: no mocks, no patching, no sleeps; a core that needs"
            " them is not a core, and a test that waits is slow or wrong"
            for line, name in places
        ]
    return found


def _is_a_stand_in(name: str) -> bool:
    return within(name, ["unittest.mock", "mock", "time.sleep"])
