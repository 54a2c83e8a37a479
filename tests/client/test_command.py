"""What all commands read in the same way."""

import argparse

import pytest

from rmf.client import command
from rmf.client.command import parse_address, parse_addresses, parse_duration_ms
from rmf.errors import (
    ConnectionFailed,
    ProtocolFault,
    Refused,
    RmfError,
    StorageError,
    UsageError,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:7410", ("localhost", 7410)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[::1]", ("::1", 7410)),
        ("plant", ("plant", 7410)),
        (" plant:80 ", ("plant", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7410",
        "a:",
        "a:0",
        "a:65536",
        "a:x",
        "::1",
        "a:1:2",
        "http://a:1",
        "[::1",
        "a:٣",
        "a b:1",
    ],
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="address"):
        parse_address(text)


def test_several_addresses_have_commas_between_and_doubles_are_dropped() -> None:
    assert parse_addresses("a:1,b:2,a:1") == [("a", 1), ("b", 2)]
    with pytest.raises(UsageError):
        parse_addresses("a:1,,b:2")


@pytest.mark.parametrize(
    ("text", "ms"),
    [("250ms", 250), ("5s", 5000), ("2h", 7_200_000), ("1.5s", 1500), ("3m", 180_000)],
)
def test_a_duration_has_a_unit(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-1s", "0s", "0.5ms", "1e3s", "5 s", "1s2", "9" * 99]
)
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ConnectionFailed("x"), 4),
        (ProtocolFault("tag", "x"), 4),
        (Refused("superseded", "x"), 5),
        (StorageError("x"), 1),
        (RmfError("x"), 1),
    ],
)
def test_each_error_has_its_exit_code_and_one_line(
    error: RmfError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert command.run_command("rmf-x", work) == code
    assert capsys.readouterr().err == f"rmf-x: {error}\n"


def test_an_interrupt_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise KeyboardInterrupt

    assert command.run_command("rmf-x", work) == command.EXIT_INTERRUPTED
    assert capsys.readouterr().err == ""


def test_the_connect_option_gives_pairs() -> None:
    parser = argparse.ArgumentParser()
    command.add_connect_option(parser)
    assert parser.parse_args(["-c", "a:1,b:2"]).connect == [("a", 1), ("b", 2)]


def test_a_wrong_argument_is_a_usage_message(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_connect_option(parser)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["-c", "a:x"])
    assert caught.value.code == command.EXIT_USAGE
    assert "the port must be a number" in capsys.readouterr().err


NOW_NS = 1_800_000_000_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", NOW_NS - 7_200_000_000_000),
        ("2026-11-26T20:00:00Z", 1_795_723_200_000_000_000),
        ("2026-11-26T20:00:00.5+00:00", 1_795_723_200_500_000_000),
    ],
)
def test_a_moment_is_a_time_or_so_long_ago(text: str, expected: int) -> None:
    assert command.parse_moment_ns(text, NOW_NS) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "3"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a duration, as 2h, or a time"):
        command.parse_moment_ns(text, NOW_NS)


def test_who_decides_is_a_user_on_a_host() -> None:
    user, _, host = command.whoami().partition("@")
    assert user
    assert host


def test_the_help_of_a_command_ends_with_its_examples_as_they_stand() -> None:
    examples = "examples:\n  rmf-x   one\n  rmf-x   two\n"
    shown = command.command_parser("rmf-x", "Does it.", examples).format_help()
    assert shown.startswith("usage: rmf-x ")
    assert shown.endswith(examples)
