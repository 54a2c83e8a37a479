"""The repository against the house rules; and each rule against a planted violation."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests import house_names
from tests import house_rules as rules
from tests.house_asserts import asserts_are_reached
from tests.house_waits import WAITS, nothing_waits_without_a_bound_or_a_reason, unbounded
from tests.syntax import Module, parse, read

ROOT = Path(__file__).parent.parent
EVERYTHING = read(ROOT, ["rmf", "tools", "tests"])
CODE = [module for module in EVERYTHING if not module.path.startswith("tests/")]
PAGES = [
    parse(file.relative_to(ROOT).as_posix(), "")._replace(source=file.read_text("utf-8"))
    for pattern in ("README.md", "protocol/*.md", "rmf/manual/*.txt")
    for file in sorted(ROOT.glob(pattern))
]

LONG_FILES: rules.Exceptions = {
    "rmf/limits.py": "all bounds on one page (R43): parted, sizes that must fit would stand apart",
}
LONG_FUNCTIONS: rules.Exceptions = {
    "tools/vectors/": "tables of vectors, written as calls: parted, they would be harder to read",
}
TESTED_ELSEWHERE: rules.Exceptions = {
    "tools/vectors/": "tests/protocol holds every vector against the CDDL and the implementation",
}

# What still joins tasks past their doors; nothing may be added here (R14).
JOINED: rules.Exceptions = {
    "rmf/floor/arbiter/arbiter_loop.py:now": "a clock",
    "rmf/floor/data/catch_up.py:serial": "which record is durable, read off the ledger's writer",
    "rmf/floor/links/peer_port.py:wall_ns": "a clock",
}

# What stands on a class of another file of the core, and holds state all the same.
SUBCLASSES: rules.Exceptions = {
    "rmf/core/raft/wire.py:Frames": "the same frames, with a CRC; both kinds are used",
}

ONE_NAME = {
    "Hello": "a message of both protocols, as their documents call it",
    "Welcome": "a message of both protocols, as their documents call it",
    "Letter": "of the DLQ; and what a user's test sees of it, by its public name",
    "Snapshot": "the message; and what a user of the client sees of it, by its public name",
}

Rule = Callable[[Sequence[Module]], list[str]]


def files_stay_short(modules: Sequence[Module]) -> list[str]:
    return rules.files_stay_short(modules, LONG_FILES)


def functions_fit_on_a_screen(modules: Sequence[Module]) -> list[str]:
    return rules.functions_fit_on_a_screen(modules, LONG_FUNCTIONS)


def the_tests_mirror_the_code(modules: Sequence[Module]) -> list[str]:
    return rules.the_tests_mirror_the_code(modules, TESTED_ELSEWHERE)


def tasks_take_ends_and_values(modules: Sequence[Module]) -> list[str]:
    return rules.tasks_take_ends_and_values(modules, JOINED)


def classes_of_the_core_are_whole(modules: Sequence[Module]) -> list[str]:
    return rules.classes_of_the_core_are_whole(modules, SUBCLASSES)


def a_name_means_one_thing(modules: Sequence[Module]) -> list[str]:
    return house_names.a_name_means_one_thing(modules, ONE_NAME)


def nothing_waits_without_a_bound(modules: Sequence[Module]) -> list[str]:
    return nothing_waits_without_a_bound_or_a_reason(modules, WAITS)


CODE_RULES: list[Rule] = [
    a_name_means_one_thing,
    house_names.the_floor_lists_all_of_it,
    rules.packages_import_only_in_their_direction,
    rules.tools_and_testing_never_import_the_floor,
    rules.core_knows_nothing_of_the_outside_world,
    rules.core_neither_waits_nor_speaks,
    rules.sibling_tasks_never_import_each_other,
    tasks_take_ends_and_values,
    nothing_waits_without_a_bound,
    rules.modules_never_import_in_a_circle,
    classes_of_the_core_are_whole,
    rules.channels_take_their_capacity_from_the_limits_page,
    rules.every_module_says_what_it_decides,
    rules.public_names_are_sorted_and_exist,
    rules.files_are_named_after_what_they_do,
    files_stay_short,
    functions_fit_on_a_screen,
    rules.the_prose_is_plain,
]
TEST_RULES: list[Rule] = [
    the_tests_mirror_the_code,
    rules.the_tests_use_the_real_thing,
    asserts_are_reached,
]


@pytest.mark.parametrize("rule", CODE_RULES)
def test_the_code_keeps_the_rule(rule: Rule) -> None:
    complaints = rule(CODE)
    assert not complaints, "\n".join(complaints)


def test_the_pages_are_written_in_plain_words() -> None:
    assert len(PAGES) > 10
    complaints = rules.the_prose_is_plain(PAGES)
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("rule", TEST_RULES)
def test_the_tests_keep_the_rule(rule: Rule) -> None:
    complaints = rule(EVERYTHING)
    assert not complaints, "\n".join(complaints)


def test_the_rules_look_at_the_whole_repository() -> None:
    names = {module.name for module in EVERYTHING}
    assert {"rmf", "rmf.core.world", "rmf.floor.log", "tools.check", __name__} <= names


def test_exceptions_name_files_that_need_them() -> None:
    found = [*rules.files_stay_short(CODE, {}), *rules.functions_fit_on_a_screen(CODE, {})]
    unneeded = [
        path
        for path in {**LONG_FILES, **LONG_FUNCTIONS}
        if not any(complaint.startswith(path) for complaint in found)
    ]
    assert unneeded == []
    cut = rules.classes_of_the_core_are_whole(CODE, {})
    assert len(cut) == len(SUBCLASSES)


def test_each_reason_to_wait_is_one_that_is_needed() -> None:
    waits = {
        key
        for module in CODE
        if module.path.startswith("rmf/floor/")
        for _, what in unbounded(module)
        for key in (module.path, f"{module.path}:{what}")
    }
    assert WAITS.keys() - waits == set()


def test_the_tasks_of_the_floor_are_found_by_their_run_coroutine() -> None:
    task = parse(
        "rmf/floor/displays/publisher.py", "async def run(door):\n    await door.receive()\n"
    )
    helper = parse("rmf/floor/supervisor.py", "async def supervise():\n    pass\n")
    elsewhere = parse("rmf/demo.py", "async def run():\n    pass\n")
    assert [rules.is_task(m) for m in (task, helper, elsewhere)] == [True, False, False]


TASKS = [
    (
        "rmf/floor/edge/ingest.py",
        "from rmf.floor.displays import publisher\nasync def run(): pass\n",
    ),
    ("rmf/floor/displays/publisher.py", "async def run(): pass\n"),
]
LONG_BODY = "    x = 1\n" * (rules.FUNCTION_LINES_MAX + 1)

# (rule, the files of a repository that breaks it, how the complaint begins, words of its reason)
PLANTED: list[tuple[Rule, list[tuple[str, str]], str, str]] = [
    (
        rules.packages_import_only_in_their_direction,
        [("rmf/core/world.py", "from rmf.storage import ledger\n")],
        "rmf/core/world.py:1 imports rmf.storage.ledger",
        "core decides over values",
    ),
    (
        rules.packages_import_only_in_their_direction,
        [("rmf/core/world.py", "import rmf\n")],
        "rmf/core/world.py:1 imports rmf:",
        "core decides over values",
    ),
    (
        rules.packages_import_only_in_their_direction,
        [("rmf/client/factory.py", "def f():\n    from rmf.floor import doors\n")],
        "rmf/client/factory.py:2 imports rmf.floor.doors",
        "never the node's inside",
    ),
    (
        rules.packages_import_only_in_their_direction,
        [("rmf/floor/edge/ingest.py", "import importlib\nimportlib.import_module('rmf.client')\n")],
        "rmf/floor/edge/ingest.py:2 imports rmf.client",
        "floor → core, storage, line",
    ),
    (
        rules.packages_import_only_in_their_direction,
        [("rmf/floor/edge/ingest.py", "from rmf import demo\n")],
        "rmf/floor/edge/ingest.py:1 imports rmf.demo",
        "floor → core, storage, line",
    ),
    (
        rules.packages_import_only_in_their_direction,
        [("rmf/storage/ledger.py", "import rmf.line.line\n")],
        "rmf/storage/ledger.py:1 imports rmf.line.line",
        "storage keeps",
    ),
    (
        rules.packages_import_only_in_their_direction,
        [("rmf/line/line.py", "if TYPE_CHECKING:\n    from rmf.client import factory\n")],
        "rmf/line/line.py:2 imports rmf.client.factory",
        "without a node",
    ),
    (
        rules.tools_and_testing_never_import_the_floor,
        [("tools/rmf_cat.py", "def main():\n    import rmf.floor.doors\n")],
        "tools/rmf_cat.py:2 imports rmf.floor.doors",
        "half a node",
    ),
    (
        rules.core_knows_nothing_of_the_outside_world,
        [("rmf/core/clock.py", "def now():\n    import time\n")],
        "rmf/core/clock.py:2 imports time",
        "R12",
    ),
    (
        rules.core_knows_nothing_of_the_outside_world,
        [("rmf/core/raft/raft_node.py", "from trio import sleep\n")],
        "rmf/core/raft/raft_node.py:1 imports trio.sleep",
        "R12",
    ),
    (
        rules.core_neither_waits_nor_speaks,
        [("rmf/core/arbiter.py", "async def step(): pass\n")],
        "rmf/core/arbiter.py:1 is asynchronous",
        "R13",
    ),
    (
        rules.core_neither_waits_nor_speaks,
        [("rmf/core/arbiter.py", "def step():\n    print(1)\n")],
        "rmf/core/arbiter.py:2 calls print",
        "R13",
    ),
    (
        rules.sibling_tasks_never_import_each_other,
        TASKS,
        "rmf/floor/edge/ingest.py:1 imports rmf.floor.displays.publisher",
        "R14",
    ),
    (
        tasks_take_ends_and_values,
        [
            (
                "rmf/floor/arbiter/beats.py",
                "async def run(doors: Doors, due: Callable[[], int]): ...\n",
            )
        ],
        "rmf/floor/arbiter/beats.py:1 `run` takes `due`, a Callable",
        "R14",
    ),
    (
        tasks_take_ends_and_values,
        [("rmf/floor/arbiter/beats.py", "async def run(*, turn: trio.Lock): ...\n")],
        "rmf/floor/arbiter/beats.py:1 `run` takes `turn`, a Lock",
        "R14",
    ),
    (
        rules.modules_never_import_in_a_circle,
        [
            ("rmf/core/entry.py", "from rmf.core.events import Change\n"),
            ("rmf/core/events.py", "import attrs\nfrom rmf.core import line_versions\n"),
            (
                "rmf/core/line_versions.py",
                "if TYPE_CHECKING:\n    from rmf.core.entry import LineId\n",
            ),
            ("rmf/core/shelf.py", "from rmf.core.entry import Expiry\n"),
        ],
        "rmf/core/entry.py:1 imports rmf.core.events, which leads back by rmf.core.line_versions",
        "below both",
    ),
    (
        classes_of_the_core_are_whole,
        [
            ("rmf/core/office.py", "class Office:\n    def __init__(self): self.mark = 'ok'\n"),
            ("rmf/core/arbiter.py", "from rmf.core import office\nclass A(office.Office): ...\n"),
        ],
        "rmf/core/arbiter.py:2 A inherits the state of rmf.core.office.Office",
        "parts that own theirs",
    ),
    (
        tasks_take_ends_and_values,
        [
            (
                "rmf/floor/arbiter/beats.py",
                "class B:\n  def __init__(s, tell: Callable): ...\n  async def run(s, hands): ...",
            )
        ],
        "rmf/floor/arbiter/beats.py:2 `run` takes `tell`, a Callable",
        "R14",
    ),
    (
        nothing_waits_without_a_bound,
        [("rmf/floor/arbiter/beats.py", "async def run(due):\n    await due.done.wait()\n")],
        "rmf/floor/arbiter/beats.py:2 waits for `due.done.wait` without a bound",
        "what ends that wait",
    ),
    (
        nothing_waits_without_a_bound,
        [
            (
                "rmf/floor/arbiter/beats.py",
                "async def run(turn):\n    async with turn:\n        f()\n",
            )
        ],
        "rmf/floor/arbiter/beats.py:2 waits for `async with turn`",
        "what ends that wait",
    ),
    (
        nothing_waits_without_a_bound,
        [
            (
                "rmf/floor/arbiter/beats.py",
                "with trio.move_on_after(1):\n  async def f(a):\n    await a.send()\n",
            )
        ],
        "rmf/floor/arbiter/beats.py:3 waits for `a.send`",
        "what ends that wait",
    ),
    (
        rules.channels_take_their_capacity_from_the_limits_page,
        [("rmf/floor/doors.py", "import math, trio\ntrio.open_memory_channel[int](math.inf)\n")],
        "rmf/floor/doors.py:2 opens a channel",
        "limits.py",
    ),
    (
        rules.channels_take_their_capacity_from_the_limits_page,
        [("rmf/floor/doors.py", "open_memory_channel(4096)\n")],
        "rmf/floor/doors.py:1 opens a channel",
        "limits.py",
    ),
    (
        rules.every_module_says_what_it_decides,
        [("rmf/core/world.py", "X = 1\n")],
        "rmf/core/world.py:1 has no docstring",
        "what it decides",
    ),
    (
        rules.public_names_are_sorted_and_exist,
        [("rmf/line/line.py", "__all__ = ['Line', 'REMOVE']\nclass Line: pass\nREMOVE = 1\n")],
        "rmf/line/line.py:1 __all__ is not sorted",
        "look up",
    ),
    (
        rules.public_names_are_sorted_and_exist,
        [("rmf/line/line.py", "__all__ = ['Keep', 'Line']\nclass Line: pass\n")],
        "rmf/line/line.py exports Keep",
        "not there",
    ),
    (
        rules.files_are_named_after_what_they_do,
        [("rmf/core/utils.py", "")],
        "rmf/core/utils.py",
        "name the one idea",
    ),
    (
        files_stay_short,
        [("rmf/core/world.py", "\n" * (rules.FILE_LINES_MAX + 1))],
        "rmf/core/world.py has 351 lines",
        "one idea per file",
    ),
    (
        functions_fit_on_a_screen,
        [("rmf/core/world.py", f"class World:\n  async def get(self):\n{LONG_BODY}")],
        "rmf/core/world.py:2 get has 62 lines",
        "fits on a screen",
    ),
    (
        rules.the_prose_is_plain,
        [("rmf/core/world.py", '"""A World.\n\nNobody\'s cells are in it."""\n')],
        "rmf/core/world.py:3 says 'Nobody'",
        "name the subject",
    ),
    (
        rules.the_prose_is_plain,
        [("rmf/core/world.py", "X = 1  # of which a display is\n# told once\n")],
        "rmf/core/world.py:1 says 'is told'",
        "receives",
    ),
    (
        a_name_means_one_thing,
        [("rmf/core/a.py", "class Turn: pass\n"), ("rmf/floor/b.py", "class Turn: pass\n")],
        "rmf/floor/b.py:1 is called 'Turn', as rmf/core/a.py:1 is",
        "one name means one thing",
    ),
    (
        a_name_means_one_thing,
        [("rmf/core/log.py", ""), ("rmf/floor/log.py", "")],
        "rmf/floor/log.py is called 'log', as rmf/core/log.py is",
        "one name means one thing",
    ),
    (
        house_names.the_floor_lists_all_of_it,
        [("rmf/floor/__init__.py", '"""serve: it."""\n'), ("rmf/floor/arbiter/beats.py", "")],
        "rmf/floor/__init__.py does not list 'beats'",
        "by role",
    ),
    (
        the_tests_mirror_the_code,
        [("rmf/core/world.py", "def f(): pass\n"), ("tests/test_world.py", "")],
        "rmf/core/world.py has no tests/core/test_world.py",
        "finds its tests",
    ),
    (
        rules.the_tests_use_the_real_thing,
        [("tests/test_world.py", "from unittest.mock import Mock\n")],
        "tests/test_world.py:1 uses unittest.mock.Mock",
        "no mocks",
    ),
    (
        rules.the_tests_use_the_real_thing,
        [("tests/test_world.py", "import time\ndef test_x():\n    time.sleep(1)\n")],
        "tests/test_world.py:3 uses time.sleep",
        "no sleeps",
    ),
    (
        rules.the_tests_use_the_real_thing,
        [("tests/test_world.py", "def test_x(monkeypatch): pass\n")],
        "tests/test_world.py:1 uses monkeypatch",
        "no patching",
    ),
    (
        asserts_are_reached,
        [("tests/test_world.py", "def test_x():\n    for x in found():\n        assert x\n")],
        "tests/test_world.py:1 test_x asserts only in loops",
        "assert that there is something",
    ),
]


@pytest.mark.parametrize(("rule", "files", "beginning", "reason"), PLANTED)
def test_a_planted_violation_is_found_and_explained(
    rule: Rule, files: list[tuple[str, str]], beginning: str, reason: str
) -> None:
    complaints = rule([parse(path, source) for path, source in files])
    assert len(complaints) == 1
    assert complaints[0].startswith(beginning)
    assert reason in complaints[0]


def test_every_rule_is_shown_a_planted_violation() -> None:
    assert {*CODE_RULES, *TEST_RULES} == {rule for rule, *_ in PLANTED}


INNOCENT: list[tuple[Rule, list[tuple[str, str]]]] = [
    (
        asserts_are_reached,
        [
            ("tests/test_a.py", "def test_x():\n  for x in (1, 2):\n    assert x\n"),
            ("tests/test_b.py", "def test_x():\n  for x in enumerate(ALL):\n    assert x\n"),
            ("tests/test_c.py", "def test_x():\n  assert all\n  for x in all:\n    assert x\n"),
            ("tests/test_d.py", "@given(s)\ndef test_x(s):\n  for x in s:\n    assert x\n"),
        ],
    ),
    (
        rules.modules_never_import_in_a_circle,
        [
            ("rmf/core/raft/__init__.py", ""),
            (
                "rmf/core/raft/raft_node.py",
                "from rmf.core.raft import log\nfrom rmf import limits\n",
            ),
            ("rmf/core/raft/raft_log.py", "import rmf.limits\n"),
            ("rmf/limits.py", "from rmf import limits\n"),
        ],
    ),
    (
        classes_of_the_core_are_whole,
        [
            ("rmf/core/values.py", "class Place(NamedTuple):\n    index: int\n"),
            ("rmf/core/log.py", "from rmf.core.values import Place\nclass Mismatch(Place): ...\n"),
            ("rmf/core/world.py", "class A:\n  def f(self): self.x = 1\nclass B(A): ...\n"),
        ],
    ),
    (
        rules.packages_import_only_in_their_direction,
        [
            ("rmf/floor/serve.py", "from rmf import __version__\nfrom rmf.core import world\n"),
            ("rmf/core/world.py", "import immutables\nfrom rmf import limits\n"),
            ("rmf/corelike.py", "from rmf import client\n"),
        ],
    ),
    (
        rules.sibling_tasks_never_import_each_other,
        [
            *TASKS[1:],
            (
                "rmf/floor/serve.py",
                "from rmf.floor.displays import publisher\ndef run(): pass\n",
            ),
        ],
    ),
    (
        tasks_take_ends_and_values,
        [
            (
                "rmf/floor/arbiter/beats.py",
                "async def run(due: trio.MemoryReceiveChannel[int]): ...\n",
            )
        ],
    ),
    (
        nothing_waits_without_a_bound,
        [
            ("rmf/floor/displays/news.py", "with trio.move_on_after(1):\n  await done.wait()\n"),
            (
                "rmf/floor/arbiter/beats.py",
                "async def run(doors):\n  await doors.events.send(await doors.due_out.receive())\n",
            ),
        ],
    ),
    (
        rules.channels_take_their_capacity_from_the_limits_page,
        [("rmf/floor/doors.py", "trio.open_memory_channel[int](2 * limits.EVENTS_MAX)\n")],
    ),
    (
        rules.channels_take_their_capacity_from_the_limits_page,
        [("rmf/floor/doors.py", "trio.open_memory_channel[int](1)\n")],
    ),
    (
        the_tests_mirror_the_code,
        [
            ("rmf/core/world.py", "def f(): pass\n"),
            ("rmf/core/shelf.py", "def f(): pass\n"),
            ("rmf/core/events.py", "class Beat: pass\n"),
            ("tests/core/test_world_scans.py", "from rmf.core.shelf import f\n"),
            ("rmf/__main__.py", "def main(): pass\n"),
            ("tests/test_main.py", ""),
        ],
    ),
    (
        functions_fit_on_a_screen,
        [("rmf/core/world.py", f'def f():\n  """Say.{chr(10) * 80}"""\n')],
    ),
    (
        rules.the_prose_is_plain,
        [("rmf/core/world.py", "TOPICS = ['nobody', 'nobody/listens']\ndef begin_anew(): pass\n")],
    ),
]


@pytest.mark.parametrize(("rule", "files"), INNOCENT)
def test_what_keeps_the_rule_is_let_pass(rule: Rule, files: list[tuple[str, str]]) -> None:
    assert rule([parse(path, source) for path, source in files]) == []
