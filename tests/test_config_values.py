"""Single settings: from text to what the node takes, or what was expected instead."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmf import config_values as values
from rmf import limits


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.data, "here", Path("here")),
        (values.http, "off", None),
        (values.http, "[::1]:0", ("::1", 0)),
        (values.line, "board", None),
        (values.line, "greenhouse.py:line", "greenhouse.py:line"),
        (values.one_of("process", "inline"), "inline", "inline"),
        (values.tick, "1ms", limits.MS),
        (values.handler_time, "250ms", 250 * limits.MS),
        (values.handler_memory, "64MiB", 64 * limits.MIB),
        (values.depth, "9", 9),
    ],
)
def test_what_is_well_written_is_taken(parse: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (values.data, "", "the path of a directory"),
        (values.http, "here", "off or HOST:PORT"),
        (values.line, "greenhouse.py", "board, FILE.py:NAME or package.module:NAME"),
        (values.one_of("process", "inline"), "docker", "process or inline"),
        (values.tick, "1h", "a duration from 10us to 10s"),
        (values.handler_time, "1ms", "a duration from 10ms to 1h"),
        (values.handler_memory, "1KiB", "a size from 16MiB to 1024GiB"),
        (values.depth, "99999999", "a number of packets from 1 to"),
    ],
)
def test_what_is_not_names_what_was_expected(
    parse: Callable[[str], Any], text: str, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        parse(text)
