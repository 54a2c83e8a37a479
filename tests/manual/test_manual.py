"""What `rmf help` prints can be found, read and pasted."""

import re
from pathlib import Path

import pytest

from rmf import manual
from rmf.errors import UsageError
from tests.commands import assert_understood, commands_in

README = (Path(__file__).parents[2] / "README.md").read_text()
TERMINAL_COLUMNS = 80

COMMANDS = [
    (topic, command) for topic in manual.topics() for command in commands_in(manual.text_of(topic))
]


def test_every_topic_says_in_its_first_line_what_it_is_about() -> None:
    topics = manual.topics()
    assert {"cluster", "poison", "dlq", "debug", "testing", "history", "rollout", "audit"} <= set(
        topics
    )
    for topic in topics:
        first, blank, rest = manual.text_of(topic).split("\n", 2)
        assert manual.about(topic) == first
        assert first
        assert not blank
        assert rest


def test_an_unknown_topic_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown topic 'dql'; did you mean dlq"):
        manual.text_of("dql")


@pytest.mark.parametrize("topic", manual.topics())
def test_prose_fits_a_terminal(topic: str) -> None:
    prose = [x for x in manual.text_of(topic).splitlines()[1:] if not x.startswith("    ")]
    assert [line for line in prose if len(line) > TERMINAL_COLUMNS] == []


@pytest.mark.parametrize("topic", manual.topics())
def test_the_readme_names_every_topic(topic: str) -> None:
    assert f"`rmf help {topic}`" in README


def test_topics_that_texts_point_to_are_there() -> None:
    texts = [README, *map(manual.text_of, manual.topics())]
    named = {topic for text in texts for topic in re.findall(r"rmf help ([a-z]+)", text)}
    assert named <= set(manual.topics())


def test_the_manuals_are_full_of_commands() -> None:
    programs = {command[0] for _, command in COMMANDS}
    assert {"rmf", "rmf-admin", "rmf-dlq", "rmf-replay", "rmf-sim", "rmf-status"} <= programs


@pytest.mark.parametrize(("topic", "command"), COMMANDS)
def test_each_command_of_a_manual_is_understood(topic: str, command: list[str]) -> None:
    assert_understood(command)


@pytest.mark.parametrize(
    "words", ["rmf-dlq lst", "rmf-admin add n4", "rmf serve --tick 1h", "rmf x"]
)
def test_what_is_not_understood_would_be_found(words: str) -> None:
    with pytest.raises(AssertionError):
        assert_understood(words.split())
