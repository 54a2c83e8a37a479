"""rmf-dlq export --as pytest: a file that fails as the letters did, and passes once mended."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rmf.core.letters import letters_of
from rmf.core.shelf import Shelf
from rmf.core.state import apply, genesis_state
from rmf.line import load_line
from tests import shop
from tests.driven_node import DrivenNode, node_in
from tests.tools.again import Run, mended, node, spec
from tools.rmf_dlq import main

__all__ = ["mended", "node", "spec"]

ALL = [shop.NO_STOCK, shop.NO_KEY, shop.NO_COUNT, shop.DIE, shop.NAN, shop.EXIT, shop.BY_ZERO]
ALL += [shop.NOBODY, shop.EXPIRY]


@pytest.fixture
def export(node: DrivenNode, spec: str, capfd: pytest.CaptureFixture[str]) -> Any:
    def run(*argv: str, line: str = spec) -> Run:
        argv = ("export", *argv, "--as", "pytest", "--data", str(node.path), "--line", line)
        return Run(main(list(argv)), *capfd.readouterr())

    return run


LINT = ["--select", "E,F,W,I,D2,D4,Q,UP,ERA", "--ignore", "D203,D213,E501"]


def pytest_of(path: Path, **environment: str) -> dict[str, str]:
    """Run a test file with warnings as errors; name -> "PASSED" or the error it ended with."""
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-rA", "-q", "-p", "no:cacheprovider", "-W", "error"),
            *("--tb=short", "-c", os.devnull, "--rootdir", str(path.parent), str(path)),
        ],
        env={**os.environ, "COLUMNS": "300", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    found = {}
    for line in ran.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word in {"PASSED", "FAILED"}:
            name, _, why = rest.partition(" - ")
            found[name.partition("::")[2]] = why if word == "FAILED" else word
    assert found, ran.stdout + ran.stderr
    return found


def name_of(letter: str) -> str:
    return f"test_letter_{letter.replace('.', '_')}"


@pytest.mark.slow
def test_each_letter_is_a_test_that_fails_as_it_did(
    export: Any, tmp_path: Path, mended: str
) -> None:
    path = tmp_path / "test_letters.py"
    ran = export(*ALL, "--out", str(path))
    assert (ran.code, ran.out) == (0, "")
    assert f"{len(ALL)} tests in {path}" in ran.err
    found = pytest_of(path)
    assert found.keys() == set(map(name_of, ALL))
    begins = {
        shop.NO_STOCK: "ValueError: only 3 left",
        shop.NO_KEY: "KeyError: 'stock/kiwi'",
        shop.BY_ZERO: "ZeroDivisionError",
        shop.EXPIRY: "KeyError: (7, 'temp/a')",
    }
    for letter, why in begins.items():
        assert found[name_of(letter)].startswith(why), found[name_of(letter)]
    assert "PASSED" not in found.values()
    again = pytest_of(path, RMF_LINE=mended)
    assert [name for name, why in again.items() if why == "PASSED"] == [name_of(shop.NO_KEY)]


@pytest.mark.slow
def test_the_text_is_as_linter_and_formatter_want_it(export: Any) -> None:
    text = export(*ALL).out
    for command in (["check", *LINT], ["format", "--check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "-"],
            input=text.encode(),
            capture_output=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout


def test_a_test_holds_what_was_read_and_no_more(export: Any) -> None:
    text = export(shop.NO_STOCK).out
    assert text.count("known(") == 1
    assert '"stock/apple": known(\n                "03",' in text
    assert "stamp=(1, 6, 0)" in text
    assert '{"item":"apple","count":4}' in text
    assert "ValueError: only 3 left." in text
    assert "absent" not in text
    assert 'absent=[\n            "stock/kiwi",' in export(shop.NO_KEY).out
    assert 'scanned=[\n            "stock/",' in export(shop.BY_ZERO).out


def test_what_dies_is_run_in_a_child(export: Any) -> None:
    text = export(shop.DIE).out
    assert "        apart=True," in text
    assert '"stock/pear": known(' in text
    assert "apart" not in export(shop.NO_STOCK).out


def test_a_line_that_is_mended_already_is_said(export: Any, mended: str) -> None:
    ran = export(shop.NO_KEY, line=mended)
    assert ran.code == 0
    assert f"letter {shop.NO_KEY} does not fail with this line" in ran.err


def test_letters_are_chosen_by_filters_of_the_dlq(
    export: Any, node: DrivenNode, capfd: pytest.CaptureFixture[str]
) -> None:
    _fill_dlq(node)
    ran = export("--reason", "handler_error", "--topic", "sale/+")
    assert ran.out.count("def test_letter") == 2
    ran = export("--reason", "handler_error", "--limit", "1")
    assert ran.out.count("def test_letter") == 1
    assert main(["export", shop.NO_KEY, shop.NAN, "--data", str(node.path)]) == 0
    assert capfd.readouterr().out.count("\n") == 2


def _fill_dlq(node: DrivenNode) -> None:
    """Store what the node's keeper would have stored."""
    state, shelf = genesis_state(node.directory.cluster), Shelf()
    for record, entry in zip(node.records(), node.entries(), strict=True):
        node.store.put_line(letters_of(entry, state, record.term, "n1"), record.index)
        state, _ = apply(state, entry, record.term, record.index, shelf)


def test_texts_that_would_end_a_string_do_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "quotes.py"
    source.write_text(
        "from rmf import Line\nline = Line('quotes')\n@line.on('#')\ndef handler(world, packet):\n"
        '    world.get(packet.topic)\n    raise ValueError(\'\\\\ """ \\u202e \\x1b\')\n'
    )
    topic = 'it\'s \\ """ \u00e9 \U0001f600'
    with node_in(tmp_path / "n1", load_line(f"{source}:line")) as node:
        node.send('pro"ducer', (topic, "\\"), (topic, bytes.fromhex("78c8") + b"x" * 200))
        letters = [f"1.{node.tick}.{slot}" for slot in (0, 1)]
        where = ["--data", str(node.path), "--line", f"{source}:line"]
        main(["export", *letters, "--as", "pytest", *where])
    text = capfd.readouterr().out
    assert not {"\x1b", "\u202e", "\ud83d"} & set(text)
    names: dict[str, Any] = {}
    exec(compile(text, "generated", "exec"), names)
    for letter in letters:
        with pytest.raises(ValueError, match='"""'):
            names[name_of(letter)]()


def test_without_letters_or_data_nothing_is_written(
    export: Any, node: DrivenNode, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "1.6.1", "--as", "pytest"]) == 2
    assert "--data DIR" in capfd.readouterr().err
    _fill_dlq(node)
    ran = export("--producer", "nobody")
    assert (ran.code, ran.out) == (1, "")
