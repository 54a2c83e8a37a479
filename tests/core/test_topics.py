"""Topics and filters against a naive reading of MQTT's rules, and overlap against brute force."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core import topics

LEVELS = ["", "a", "b", "a.c", "(", "é"]
TOPICS = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4).map("/".join).filter(bool)
PATTERNS = st.builds(
    lambda levels, end: "/".join([*levels, *end]),
    st.lists(st.sampled_from([*LEVELS, "+"]), max_size=3),
    st.sampled_from([["#"], ["+"], ["a"]]),
)


def matches(pattern: list[str], topic: list[str]) -> bool:
    """Return whether a filter matches, level by level, as MQTT 5 §4.7 says it in words."""
    if not pattern:
        return not topic
    if pattern == ["#"]:
        return True
    if not topic:
        return False
    return pattern[0] in {"+", topic[0]} and matches(pattern[1:], topic[1:])


@settings(deadline=None, max_examples=200)
@given(PATTERNS, TOPICS)
def test_a_filter_matches_what_the_words_say(pattern: str, topic: str) -> None:
    assert topics.filter_fault(pattern) is None
    assert topics.matcher(pattern)(topic) == matches(pattern.split("/"), topic.split("/"))


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("#", ["a", "a/b", "/"], []),
        ("a/#", ["a", "a/", "a/b", "a/b/c"], ["ab", "b/a", "/a"]),
        ("+", ["a", "greenhouse"], ["a/b", "/a"]),
        ("a/+/c", ["a/b/c", "a//c"], ["a/c", "a/b/c/d", "a/b/d"]),
        ("+/+", ["/", "/a", "a/b"], ["a", "a/b/c"]),
        ("a.b", ["a.b"], ["axb"]),
        ("+/a.b/#", ["x/a.b", "x/a.b/y"], ["x/aab"]),
    ],
)
def test_examples_of_filters(pattern: str, hits: list[str], misses: list[str]) -> None:
    match = topics.matcher(pattern)
    assert [topic for topic in hits if not match(topic)] == []
    assert [topic for topic in misses if match(topic)] == []


SHORT = ["a", "b", "+"]
FILTERS = [
    "/".join(levels)
    for size in (1, 2, 3)
    for levels in product(SHORT, repeat=size)
    if levels[-1] != "#"
]
FILTERS += ["#", *(f"{x}/#" for x in FILTERS if x.count("/") < 2)]
SAMPLES = ["/".join(x) for size in (1, 2, 3, 4) for x in product(["a", "b", "c"], repeat=size)]


def test_two_filters_overlap_exactly_if_some_topic_matches_both() -> None:
    taken = {pattern: set(filter(topics.matcher(pattern), SAMPLES)) for pattern in FILTERS}
    wrong = [
        (left, right)
        for left, right in product(FILTERS, repeat=2)
        if topics.overlap(left, right) != bool(taken[left] & taken[right])
    ]
    assert wrong == []


@settings(deadline=None, max_examples=100)
@given(PATTERNS, PATTERNS, TOPICS)
def test_filters_that_do_not_overlap_never_match_one_topic(
    left: str, right: str, topic: str
) -> None:
    both = topics.matcher(left)(topic) and topics.matcher(right)(topic)
    assert topics.overlap(left, right) == topics.overlap(right, left)
    assert topics.overlap(left, right) or not both


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "expected 1 to"),
        ("a" * (limits.TOPIC_BYTES_MAX + 1), "expected 1 to"),
        ("é" * (limits.TOPIC_BYTES_MAX // 2 + 1), "expected 1 to"),
        ("a\nb", "control characters"),
        ("a+/b", "'+' must stand alone"),
        ("a/#/b", "'#' must stand alone"),
        ("a#", "'#' must stand alone"),
        ("##", "'#' must stand alone"),
    ],
)
def test_a_bad_filter_is_named(pattern: str, words: str) -> None:
    assert words in str(topics.filter_fault(pattern))


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("", "found none"),
        ("a" * (limits.TOPIC_BYTES_MAX + 1), "1025 bytes"),
        ("é" * 513, "1026 bytes"),
        ("a/+", "'+' at character 2"),
        ("#", "'#' at character 0"),
        ("a\x00", "'\\x00' at character 1"),
        ("a\x7f", "'\\x7f' at character 1"),
    ],
)
def test_a_bad_topic_is_named(topic: str, words: str) -> None:
    assert words in str(topics.topic_fault(topic))


def test_the_longest_topic_and_any_script_are_taken() -> None:
    for topic in ("a" * limits.TOPIC_BYTES_MAX, "é" * 512, "/", "$SYS/温室", " "):
        assert topics.topic_fault(topic) is None


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.text(max_size=4) | st.sampled_from(["x" * 257, "é" * 513]), min_size=1, max_size=6)
)
def test_plainly_valid_means_that_each_one_is_valid(names: list[str]) -> None:
    if topics.all_plainly_valid(names):
        assert [topics.topic_fault(name) for name in names] == [None] * len(names)


def test_ordinary_topics_take_the_quick_way() -> None:
    assert topics.all_plainly_valid(["greenhouse/3/temp"] * 4096)
    assert not topics.all_plainly_valid(["a", ""])
    assert not topics.all_plainly_valid(["a", "b/+"])
