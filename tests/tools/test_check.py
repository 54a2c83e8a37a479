"""`check` and `fix`: which steps there are, and that one that fails is said and stops no other."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import check, fix

ROOT = Path(__file__).parent.parent.parent

WELL = ("well", ["this"])  # `python -m this` prints a poem, `python -m absent...` fails
ILL = ("ill", ["absent_and_never_there"])


def test_a_step_that_fails_is_named_and_the_others_still_run(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert check.run_steps([ILL, WELL]) == 1
    said = capfd.readouterr().out
    assert "-- well\nThe Zen" in said
    assert said.endswith("failed: ill\n")


def test_steps_that_are_well_end_with_code_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert check.run_steps([WELL]) == 0
    assert capfd.readouterr().out.endswith("all clean\n")


@pytest.mark.parametrize("at_once", [1, 3])
def test_steps_are_reported_in_their_order_however_many_run_at_once(
    at_once: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert check.run_steps([WELL, ILL, WELL], at_once) == 1
    said = capfd.readouterr().out
    assert [said.index("-- well"), said.rindex("-- well")] == sorted(
        [said.index("-- well"), said.rindex("-- well")]
    )
    assert said.index("The Zen") < said.index("-- ill") < said.rindex("The Zen")


def test_the_check_writes_nothing() -> None:
    writing = {"--fix", "--autofix", "--unsafe-fixes", "--install-types"}
    assert check.steps()
    for name, arguments in check.steps():
        assert not writing & set(arguments), name
        if arguments[:2] == ["ruff", "format"] or arguments[0].startswith("tools."):
            assert "--check" in arguments, name


def test_every_step_that_can_be_fixed_is_fixed() -> None:
    def commands(steps: Sequence[check.Step]) -> set[str]:
        return {name for name, _ in steps}

    unfixed = {"async, one half", "async, the other half", "types"}
    assert commands(fix.STEPS) == commands(check.steps()) - unfixed


def test_async_code_is_looked_at_everywhere() -> None:
    halves = [set(files) for name, files in check.steps() if name.startswith("async")]
    assert {"rmf/floor/serve.py", "tools/rmf_send.py", "tests/floor/kit.py"} <= set.union(*halves)
    assert min(len(half) for half in halves) > 0.4 * len(set.union(*halves))
    assert "rmf/core/packet.py" not in set.union(*halves)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("async def f(): pass", True),
        ("import trio", True),
        ("try: f()\nexcept BaseException: pass", True),
        ("try: f()\nexcept: pass", True),
        ("try: f()\nexcept* ValueError: pass", True),
        ("with pytest.raises(ExceptionGroup): f()", True),
        ("except_for = {}\ntry: f()\nexcept ValueError: pass", False),
    ],
)
def test_what_has_no_word_of_async_is_left_out(code: str, *, expected: bool) -> None:
    assert check.may_break_async_rules(code) is expected


def test_ci_runs_the_check_and_then_exactly_the_tests_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    commands = [line for line in script.splitlines() if line.startswith("python -")]
    assert [re.sub(r" -m pip install .*", " pip", c) for c in commands] == [
        "python pip",
        "python pip",
        "python -m tools.check",
        "python -m pytest",
    ]
    assert "python -m pytest" in (ROOT / "README.md").read_text()
    assert "://" not in script
