"""How settings are written: what is read, what is refused, and that both directions agree."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import notation


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("250ms", 250_000_000),
        ("5s", 5_000_000_000),
        ("2h", 7_200_000_000_000),
        ("1m", 60_000_000_000),
        ("100us", 100_000),
        ("0.1ms", 100_000),
        ("1.5s", 1_500_000_000),
        ("7ns", 7),
        (" 5s ", 5_000_000_000),
        ("0s", 0),
    ],
)
def test_a_duration_is_exact_nanoseconds(text: str, value_ns: int) -> None:
    assert notation.parse_duration_ns(text) == value_ns


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 s", "1e3s", ".5s", "5S", "\u0665s"])
def test_a_duration_without_number_and_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration with its unit"):
        notation.parse_duration_ns(text)


def test_a_part_of_a_nanosecond_is_refused() -> None:
    with pytest.raises(ValueError, match="whole nanoseconds"):
        notation.parse_duration_ns("0.5ns")


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**17))
def test_a_duration_reads_back_as_it_was_written(value_ns: int) -> None:
    assert notation.parse_duration_ns(notation.duration_text(value_ns)) == value_ns


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7410", ("127.0.0.1", 7410)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1%eth0]:7410", ("fe80::1%eth0", 7410)),
        ("rack-3.plant.example:7410", ("rack-3.plant.example", 7410)),
    ],
)
def test_an_address_reads_back_as_it_was_written(text: str, address: notation.Address) -> None:
    assert notation.parse_listen_address(text) == address
    assert notation.address_text(address) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "HOST:PORT"),
        ("7410", "HOST:PORT"),
        (":7410", "HOST:PORT"),
        ("::1:7410", "in brackets"),
        ("[::1]", "in brackets"),
        ("[nonsense]:7410", "HOST:PORT"),
        ("a b:7410", "HOST:PORT"),
        ("http://localhost:7410", "in brackets"),
        ("localhost:", "a port from 0 to 65535"),
        ("localhost:65536", "a port from 0 to 65535"),
        ("localhost:+80", "a port from 0 to 65535"),
        ("localhost:\u0668\u0660", "a port from 0 to 65535"),
    ],
)
def test_what_is_no_address_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        notation.parse_listen_address(text)


def test_port_0_is_only_for_listening() -> None:
    with pytest.raises(ValueError, match="1 to 65535"):
        notation.parse_address("localhost:0")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_known_by_its_address(host: str) -> None:
    assert notation.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "127.1", "localhost.example", "127.0.0.1.example"]
)
def test_everything_else_counts_as_reachable(host: str) -> None:
    assert not notation.is_loopback(host)


def test_peers_are_names_and_addresses() -> None:
    pairs = notation.parse_peers("n1=127.0.0.1:7510, n2=[::1]:7511,")
    assert pairs == (("n1", ("127.0.0.1", 7510)), ("n2", ("::1", 7511)))
    assert notation.parse_peers("") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n1", "NAME=HOST:PORT"),
        ("n1=127.0.0.1:0", "1 to 65535"),
        ("n 1=127.0.0.1:1", "1 to 63 letters"),
        ("n1=a:1,n1=b:1", "name once"),
    ],
)
def test_wrong_peers_are_refused(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        notation.parse_peers(text)


@pytest.mark.parametrize("text", ["", ".", "..", "-n1", "a/b", "a:b", "a" * 64, "ä", "n1\n"])
def test_a_name_that_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 63 letters"):
        notation.parse_name(text)


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("TRUE", True), ("0", False), ("no", False)]
)
def test_a_switch_is_on_or_off(text: str, value: bool) -> None:
    assert notation.parse_switch(text) is value


@pytest.mark.parametrize(("text", "value"), [("on", 1.0), ("off", 0.0), ("0.1", 0.1), ("1.0", 1.0)])
def test_a_share_is_a_number_or_a_word(text: str, value: float) -> None:
    assert notation.parse_share(text) == value


def test_a_switch_of_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="on or off"):
        notation.parse_switch("maybe")


@pytest.mark.parametrize("text", ["1.1", "-0.1", "nan", "1e-3", "yes"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a share from 0 to 1"):
        notation.parse_share(text)


@pytest.mark.parametrize("text", ["0", "1.5", "1_000", "-1", "", "9" * 5000])
def test_what_is_no_count_is_refused(text: str) -> None:
    assert notation.parse_count("65536") == 65536
    with pytest.raises(ValueError, match="a whole number, 1 or more"):
        notation.parse_count(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MiB", 512 << 20), ("1GiB", 1 << 30), ("64KiB", 65536), ("7B", 7), (" 12 ", 12)],
)
def test_a_size_is_a_number_of_bytes(text: str, size: int) -> None:
    assert notation.parse_size(text) == size


@given(st.integers(1, 10**12 - 1))
def test_a_size_reads_back_as_it_was_written(size: int) -> None:
    assert notation.parse_size(notation.size_text(size)) == size


def test_a_size_is_written_in_the_largest_unit_that_says_it() -> None:
    sizes = (1023, 1024, 1536 << 20, 3 << 30)
    assert [notation.size_text(x) for x in sizes] == ["1023B", "1KiB", "1536MiB", "3GiB"]


@pytest.mark.parametrize("text", ["", "MiB", "1.5GiB", "-1", "1MB", "1 MiB", "1mib", "9" * 13])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a size, as 512MiB"):
        notation.parse_size(text)
