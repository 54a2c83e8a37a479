"""From lines to packets, and which line is none."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.client.client_values import Parcel, Raw
from tools.send_lines import BadLine, LineReader, Packet, Wanted, number_or_text

WANTED = Wanted("t", 5000, None)


def packets(name: str, data: bytes, wanted: Wanted = WANTED) -> list[Packet]:
    reader = LineReader(name, wanted)
    return [*reader.feed(data), *reader.end()]


def payloads(name: str, data: bytes) -> list[Any]:
    return [packet.parcel.payload for packet in packets(name, data)]


def bad(name: str, data: bytes, wanted: Wanted = WANTED) -> BadLine:
    with pytest.raises(BadLine) as caught:
        packets(name, data, wanted)
    return caught.value


# --- jsonl --------------------------------------------------------------------------------


def test_a_json_line_is_a_payload() -> None:
    assert payloads("jsonl", b'{"a": 1}\n[2, null]\r\n"x"') == [{"a": 1}, [2, None], "x"]


def test_a_line_with_topic_and_payload_is_an_envelope() -> None:
    data = b'{"topic": "u", "payload": {"a": 1}, "ttl_ms": 9, "harvested_at": 7}\n'
    [packet] = packets("jsonl", data, Wanted(None, 5000, 3))
    assert packet.parcel == Parcel("u", {"a": 1}, 9, 7, 3)


def test_an_envelope_without_ttl_has_the_common_one() -> None:
    [packet] = packets("jsonl", b'{"topic": "u", "payload": 1}')
    assert packet.parcel == Parcel("u", 1, 5000, None, None)


def test_a_line_with_a_topic_alone_is_a_payload() -> None:
    assert payloads("jsonl", b'{"topic": "u"}') == [{"topic": "u"}]


def test_dollar_bytes_is_a_byte_string() -> None:
    assert payloads("jsonl", b'{"a": {"$bytes": "AAE="}}') == [{"a": b"\x00\x01"}]
    assert payloads("jsonl", b'{"$bytes": "AA==", "b": 1}') == [{"$bytes": "AA==", "b": 1}]


def test_blank_lines_are_left_out_of_the_count_of_packets_not_of_lines() -> None:
    found = packets("jsonl", b"1\n\n  \n2\n")
    assert [(packet.line, packet.number) for packet in found] == [(1, 1), (4, 2)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"NaN", "NaN"),
        (b'{"$bytes": "A"}', r"\$bytes"),
        (b'{"$bytes": 1}', r"\$bytes"),
        (b'{"topic": "t", "payload": 1, "ttl": 5}', "'ttl'"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_line_that_is_no_packet_is_named(line: bytes, words: str) -> None:
    fault = bad("jsonl", b"1\n" + line + b"\n3\n")
    assert fault.number == 2
    with pytest.raises(BadLine, match=f"line 2: .*{words}"):
        raise fault


def test_what_stands_before_a_bad_line_is_given() -> None:
    reader = LineReader("jsonl", WANTED)
    feed = reader.feed(b"1\n2\nbad\n4\n")
    assert [next(feed).parcel.payload, next(feed).parcel.payload] == [1, 2]
    with pytest.raises(BadLine):
        next(feed)


def test_a_payload_without_a_topic_is_named() -> None:
    assert "--topic" in str(bad("jsonl", b"1\n", Wanted(None, 5000, None)))


def test_a_line_without_end_is_not_kept_in_memory() -> None:
    reader = LineReader("raw", WANTED)
    with pytest.raises(BadLine, match="longer than"):
        list(reader.feed(b"x" * (limits.INPUT_LINE_BYTES_MAX + 1)))


# --- csv ----------------------------------------------------------------------------------


def test_a_csv_row_is_a_map_of_its_columns() -> None:
    data = b"\xef\xbb\xbfdate,temp\r\n2010/01/01 00:00,39.4\r\n,7\r\n"
    assert payloads("csv", data) == [
        {"date": "2010/01/01 00:00", "temp": 39.4},
        {"date": "", "temp": 7},
    ]


def test_a_quoted_cell_may_hold_commas_quotes_and_line_ends() -> None:
    data = b'a,b\n"x,\n""y""",1\nz,2\n'
    found = packets("csv", data)
    assert [packet.parcel.payload for packet in found] == [
        {"a": 'x,\n"y"', "b": 1},
        {"a": "z", "b": 2},
    ]
    assert [(packet.line, packet.number) for packet in found] == [(2, 1), (4, 2)]


@pytest.mark.parametrize(
    ("data", "number", "words"),
    [
        (b"a,b\n1,2\n3\n", 3, "1 cells, but the header names 2 columns"),
        (b"a,b\n1,2,3\n", 2, "3 cells"),
        (b"a,a\n", 1, "'a' twice"),
        (b"a,\n", 1, "column 2 of the header has no name"),
        (b"a\n\xff\n", 2, "not UTF-8"),
        (b'a\n1\n"open\n', 3, "not closed"),
        (b'a\n"x"y\n', 2, "not CSV"),
    ],
)
def test_a_row_that_does_not_fit_is_named(data: bytes, number: int, words: str) -> None:
    fault = bad("csv", data)
    assert fault.number == number
    assert words in str(fault)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0", 0),
        ("-12", -12),
        ("9223372036854775807", 2**63 - 1),
        ("39.4", 39.4),
        ("1.50", 1.5),
        ("-0.5e3", -500.0),
        ("0.1", 0.1),
    ],
)
def test_an_exact_number_is_a_number(cell: str, value: float) -> None:
    found = number_or_text(cell)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "007",
        "+1",
        "-0",
        "1_000",
        "1.",
        ".5",
        "nan",
        "inf",
        "1e400",
        "0.12345678901234567890",
        "9223372036854775808",
        "100000000000000000000",
        "0x10",
        " 1",
        "٣",
        "9" * 5000,
    ],
)
def test_everything_else_is_text(cell: str) -> None:
    assert number_or_text(cell) == cell
    assert type(number_or_text(cell)) is str


@settings(deadline=None, max_examples=100)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_writes_is_read_back(number: float) -> None:
    text = repr(number)
    found = number_or_text(text)
    assert found == number
    assert type(found) is float


# --- raw and all --------------------------------------------------------------------------


def test_a_raw_line_is_its_bytes() -> None:
    assert payloads("raw", b"\xff\x00\r\n\nlast") == [Raw(b"\xff\x00\r"), Raw(b""), Raw(b"last")]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["jsonl", "csv", "raw"]), st.data())
def test_any_cut_of_the_file_gives_the_same_packets(name: str, data: st.DataObject) -> None:
    content = {
        "jsonl": '{"a": "ü"}\n\n{"topic": "u", "payload": 2}\n3'.encode(),
        "csv": 'a,b\n"x\ny",ü\n1,2\n'.encode(),
        "raw": b"a\n\nb\r\nc",
    }[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    reader = LineReader(name, WANTED)
    found: list[Packet] = []
    for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        found += reader.feed(content[begin:end])
    found += reader.end()
    assert found == packets(name, content)
