"""tools/dlq_again: options of the verbs that run letters again, and what they import."""

import argparse
import subprocess
import sys

import pytest

from tools import dlq_again


def parsed(verb: str, *argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add = {"debug": dlq_again.add_debug_options, "export": dlq_again.add_export_options}[verb]
    add(parser)
    return parser.parse_args(list(argv), argparse.Namespace(verb=verb))


@pytest.mark.parametrize(
    ("verb", "argv", "alone"),
    [
        ("debug", ["1.2.3"], True),
        ("export", ["1.2.3", "--as", "pytest"], True),
        ("export", ["1.2.3"], False),
        ("export", ["--as", "pytest"], False),
    ],
)
def test_named_letters_are_read_from_the_ledger_alone(
    verb: str, argv: list[str], alone: bool
) -> None:
    assert dlq_again.needs_no_dlq(parsed(verb, *argv)) is alone


def test_its_options_cost_rmf_dlq_no_start_up_time() -> None:
    code = (
        "import sys, tools.rmf_dlq; print({'attrs', 'trio', 'pdb', 'rmf.line'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
