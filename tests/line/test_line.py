import textwrap
from typing import Any

import pytest

from rmf import limits
from rmf.errors import LineError
from rmf.line import Line
from tests.line.bench import reasons, row, run, values


def nothing(_world: Any, _packet: Any) -> None:
    return None


def line_with(*filters: str) -> Line:
    line = Line("test")
    for each in filters:
        line.on(each)(nothing)
    return line


@pytest.mark.parametrize("version", ["7", 7], ids=repr)
def test_a_version_is_a_whole_number_as_text_or_integer(version: Any) -> None:
    assert Line("test", version=version).version == 7


@pytest.mark.parametrize(
    "version", ["", "1.0", "-1", "0", 0, -3, 1.0, True, None, "v1", " 1", "²"], ids=repr
)
def test_any_other_version_is_refused(version: Any) -> None:
    with pytest.raises(LineError, match="a line's version is a whole number from 1"):
        Line("test", version=version)


@pytest.mark.parametrize("name", ["", "a\nb", None, 5, "x" * 251])
def test_a_name_that_cannot_be_shown_is_refused(name: Any) -> None:
    with pytest.raises(LineError, match="a line's name"):
        Line(name)


def test_the_handler_of_a_topic_is_the_one_whose_filter_matches() -> None:
    line = Line("test")

    @line.on("greenhouse/+/temp")
    def temperature(world: Any, packet: Any) -> None: ...

    @line.on("greenhouse/+/door")
    def door(world: Any, packet: Any) -> None: ...

    line.check()
    for _ in range(2):  # the second time from the cache
        found = [line.handler_of(topic) for topic in ("greenhouse/3/temp", "greenhouse/3/door")]
        assert [temperature, door] == [handler and handler.function for handler in found]
        assert line.handler_of("greenhouse/3/light") is None


def test_a_handler_registered_later_is_found_although_its_topic_was_looked_up() -> None:
    line = line_with("a")
    assert line.handler_of("b") is None
    line.on("b")(nothing)
    assert line.handler_of("b") is not None


def test_looking_up_more_topics_than_are_kept_changes_no_answer() -> None:
    line = line_with("a/+")
    for i in range(limits.HANDLER_CACHE_TOPICS // 2 + 10):
        assert line.handler_of(f"a/{i}") is not None
        assert line.handler_of(f"b/{i}") is None


@pytest.mark.parametrize(
    ("left", "right"), [("a/+", "a/b"), ("#", "x"), ("a/#", "a"), ("+/b", "a/+"), ("a", "a")]
)
def test_overlapping_filters_are_refused_with_both_handlers_named(left: str, right: str) -> None:
    line = line_with(left, right)
    with pytest.raises(LineError) as caught:
        line.check()
    text = str(caught.value)
    assert repr(left) in text
    assert repr(right) in text
    assert text.count("in nothing") == 2
    assert "@line.on overlap" in text


def test_overlapping_filters_for_expired_cells_are_refused() -> None:
    line = line_with("a")
    line.on_expired("a/#")(nothing)
    line.on_expired("a/b")(nothing)
    with pytest.raises(LineError, match=r"@line\.on_expired overlap"):
        line.check()


def test_a_filter_for_packets_may_overlap_one_for_expired_cells() -> None:
    line = line_with("a/#")
    line.on_expired("a/b")(nothing)
    line.check()
    assert line.expired_filters == ("a/b",)
    assert line.filters == ("a/#",)


@pytest.mark.parametrize("bad", ["", "a/#/b", "a+", "a\x00", "x" * 1025])
def test_a_bad_filter_is_refused_where_it_stands(bad: str) -> None:
    with pytest.raises(LineError, match="line 'test': filter"):
        Line("test").on(bad)
    with pytest.raises(LineError, match="line 'test': filter"):
        Line("test").on_expired(bad)


def test_a_forgotten_filter_is_named() -> None:
    with pytest.raises(LineError, match="expected a filter as text, found function"):
        Line("test").on(nothing)  # type: ignore[arg-type]


async def waits(world: Any, packet: Any) -> None: ...


def gives(world: Any, packet: Any) -> Any:
    yield {}


async def both(world: Any, packet: Any) -> Any:
    yield {}


def takes_one(world: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (waits, "found an async function"),
        (gives, "found a generator"),
        (both, "found an async generator"),
        (takes_one, "a handler is called with .world, packet."),
        (5, "expected a function as handler, found int"),
    ],
)
def test_what_cannot_be_a_handler_is_refused(function: Any, said: str) -> None:
    with pytest.raises(LineError, match=said):
        Line("test").on("a")(function)


def test_a_line_without_handlers_is_refused() -> None:
    with pytest.raises(LineError, match="has no handlers: decorate a function"):
        Line("test").check()


def test_a_class_that_cannot_be_structured_is_refused_at_load() -> None:
    line = Line("test")
    line.on("a", list[int] | list[str])(nothing)
    with pytest.raises(LineError, match=r"payloads cannot be made into .*in nothing"):
        line.check()


def one_of(source: str, name: str = "test", version: int = 1, where: str = "a") -> Line:
    scope: dict[str, Any] = {}
    exec(textwrap.dedent(source), scope)
    line = Line(name, version)
    line.on(where)(scope["handler"])
    return line


def test_the_digest_changes_with_source_filter_name_and_version_and_with_nothing_else() -> None:
    source = "def handler(world, packet): return {'a': 1}"
    other = "def handler(world, packet): return {'a': 2}"
    lines = [
        one_of(source),
        one_of(other),
        one_of(source, where="b"),
        one_of(source, name="other"),
        one_of(source, version=2),
    ]
    digests = {line.digest for line in lines}
    assert len(lines) == len(digests)
    assert {16} == {len(digest) for digest in digests}
    assert one_of(source).digest == lines[0].digest


def test_the_digest_does_not_depend_on_the_order_of_handlers() -> None:
    assert line_with("a", "b").digest == line_with("b", "a").digest


def test_an_expired_handler_is_no_packet_handler_for_the_digest() -> None:
    expired = Line("test")
    expired.on_expired("a")(nothing)
    assert expired.digest != line_with("a").digest


def test_what_is_no_function_can_be_a_handler() -> None:
    class Counter:
        def __call__(self, world: Any, packet: Any) -> None: ...

    line = Line("test")
    line.on("a")(Counter())
    line.on("b")(lambda _world, _packet: None)
    line.check()
    assert len(line.digest) == 16


def test_a_wrapped_line_is_called_through_its_wrapper_and_is_the_same_line() -> None:
    line = Line("wrapped", version=3)
    called: list[str] = []

    @line.on("a/+", int)
    def handle(world: Any, packet: Any) -> Any:
        return {packet.topic: packet.payload}

    @line.on_expired("a/+")
    def gone(world: Any, cell: Any) -> Any:
        return None

    line.check()

    def wrap(handler: Any) -> Any:
        def call(world: Any, what: Any) -> Any:
            called.append(handler.where)
            return handler.function(world, what)

        return call

    wrapped = line.wrapped(wrap)
    executed = run(wrapped, row("a/1", 7), row("a/2", "text"))
    assert values(executed) == {"a/1": 7}
    assert reasons(executed) == [(1, "payload_invalid")]
    assert [handler.where for handler in line.handlers] == called
    assert (wrapped.name, wrapped.version, wrapped.digest) == ("wrapped", 3, line.digest)
    assert wrapped.expired_handlers[0].where == line.expired_handlers[0].where
    run(line, row("a/1", 7))
    assert len(called) == 1
