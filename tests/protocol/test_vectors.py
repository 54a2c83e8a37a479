"""The vectors are what the generator writes, and the implementation does what they say."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmf.core import codec
from rmf.core.bag import REASONS
from rmf.core.faults import FAULTS
from rmf.core.messages import CODES
from rmf.errors import ProtocolFault
from tests.protocol.cddl_check import CDDL, assert_conforms, faults_of, rule_of
from tools import rmf_vectors
from tools.vectors.entries import judge
from tools.vectors.steps import step_fault
from tools.vectors.streams import chunks_of, follow

VECTORS = Path(__file__).parent.parent.parent / "protocol" / "vectors"


def load(name: str) -> list[dict[str, Any]]:
    """Return the vectors of one file, as any other language would read them."""
    entries: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    return entries


GOOD, BAD, STREAMS, SESSIONS = map(load, ("good", "bad", "streams", "sessions"))


def named(entries: list[dict[str, Any]]) -> pytest.MarkDecorator:
    """Return the parameters of a test that runs once for each vector."""
    return pytest.mark.parametrize("vector", entries, ids=lambda vector: vector["id"])


def frame_of(vector: dict[str, Any]) -> bytes:
    if vector["hex"] is not None:
        return bytes.fromhex(vector["hex"])
    return b"".join(bytes.fromhex(part) * times for part, times in vector["pattern"])


def frames_of(data: bytes) -> Iterator[bytes]:
    """Give the frames in a step of a session, the preface left out."""
    buffer = codec.FrameBuffer(2**32)
    buffer.feed(data.removeprefix(codec.PREFACE))
    yield from buffer.frames()
    assert len(buffer.data) == 0


def test_the_files_are_what_the_generator_writes() -> None:
    files = rmf_vectors.generated(rmf_vectors.PROTOCOL)
    stale = [path.name for path, text in files if path.read_text("utf-8") != text]
    assert stale == [], "run python -m tools.rmf_vectors"


def test_every_entry_has_the_promised_fields_and_a_name_of_its_own() -> None:
    entries = [*GOOD, *BAD, *STREAMS, *SESSIONS]
    fields = {"id", "req", "description", "hex", "diag", "decoded", "expect", "notes"}
    assert [x["id"] for x in entries if not fields <= x.keys()] == []
    assert len({x["id"] for x in entries}) == len(entries)
    assert [x["id"] for x in entries if not x["description"]] == []


@named(GOOD)
def test_a_good_vector_decodes_and_conforms_to_the_cddl(vector: dict[str, Any]) -> None:
    frame = frame_of(vector)
    message = codec.decode(frame)
    assert codec.encode(message)[4:] == frame
    assert judge(frame) == "ok" == vector["expect"]
    assert_conforms(frame)


@named(BAD)
def test_a_bad_vector_fails_with_exactly_its_code(vector: dict[str, Any]) -> None:
    assert vector["expect"] in FAULTS or vector["expect"] in REASONS
    assert judge(frame_of(vector)) == vector["expect"]


@named([x for x in BAD if x["expect"] in {"wrong_shape", "unknown_type", *REASONS, "no_seq"}])
def test_what_is_within_the_profile_and_still_bad_does_not_conform_to_the_cddl(
    vector: dict[str, Any],
) -> None:
    assert faults_of(frame_of(vector)) != ()


@named(STREAMS)
def test_a_stream_gives_the_same_frames_however_it_is_cut(vector: dict[str, Any]) -> None:
    expected = ([bytes.fromhex(frame) for frame in vector["decoded"]], vector["expect"])
    data = bytes.fromhex(vector["hex"])
    assert vector["chunks"]
    for sizes in vector["chunks"]:
        assert follow(chunks_of(data, sizes)) == expected, sizes


@named(SESSIONS)
def test_a_session_holds_messages_that_conform_and_match(vector: dict[str, Any]) -> None:
    assert vector["decoded"]
    for step in vector["decoded"]:
        if step.get("type") == "prefix" or step["diag"] in {"HTTP", "TLS"}:
            continue
        for frame in frames_of(bytes.fromhex(step["hex"])):
            if step["from"] == "node":
                assert_conforms(frame)
                assert step_fault(step, codec.decode(frame)) is None
            elif not faults_of_known_frame(frame):
                assert_conforms(frame)


def faults_of_known_frame(frame: bytes) -> bool:
    """Return True for what a session sends on purpose to be refused or bagged."""
    return judge(frame) != "ok"


def test_a_step_says_how_an_answer_differs() -> None:
    step = {"type": "pong", "match": {"token": 7}}
    other = codec.decode(bytes.fromhex("84090801191234"))
    assert "token: expected 7, found 8" in str(step_fault(step, other))
    assert "expected ACK, found PONG" in str(step_fault({"type": "ack", "match": {}}, other))
    missing = {"type": "pong", "match": {"token.0": 7}}
    assert "found nothing there" in str(step_fault(missing, other))


@pytest.mark.parametrize("kind", CODES.values(), ids=lambda kind: kind.__name__)
def test_every_message_has_a_rule_a_good_vector_and_bad_ones(kind: type[Any]) -> None:
    name = kind.__name__.lower()
    assert f"\n{name} = " in CDDL.read_text("utf-8")
    assert any(rule_of(frame_of(vector)) == name for vector in GOOD)
    assert any(vector["id"] == f"fields-more-{name}" for vector in BAD)


def test_every_fault_of_one_frame_has_a_vector() -> None:
    codes = list(FAULTS)
    of_frames = codes[codes.index("not_well_formed") : codes.index("frame_packets") + 1]
    assert set(of_frames) | {"no_seq"} <= {vector["expect"] for vector in BAD}


def test_a_frame_off_the_cddl_or_the_profile_is_found_out() -> None:
    assert_conforms(bytes.fromhex("820807"))
    with pytest.raises(AssertionError, match="outside 0"):
        assert_conforms(bytes.fromhex("820820"))
    with pytest.raises(ProtocolFault, match="not_shortest"):
        assert_conforms(bytes.fromhex("82081807"))
