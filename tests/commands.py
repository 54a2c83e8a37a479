"""Commands in texts for people: found where they stand, and held to the parsers of the commands.

    for command in commands_in(README):
        assert_understood(command)

A command is an indented line that begins with `rmf` or `rmf-…`, or goes on so behind `|` or `&&`;
a remark behind `#` is no part of it.
"""

import importlib
import re
import shlex

from rmf import __main__ as node

# What a shell would have put in, if the texts' own settings were made.
_SET = {"$PEERS": "n1=127.0.0.1:7511,n2=127.0.0.1:7512,n3=127.0.0.1:7513"}


def commands_in(text: str) -> list[list[str]]:
    """Return the words of each command that is indented in a text, in order."""
    found = []
    for line in re.findall(r"^    ((?:rmf|echo|python)\b.*)$", text, re.MULTILINE):
        words = _words(line)
        starts = [i for i, word in enumerate(words) if i == 0 or words[i - 1] in {"|", "&&"}]
        for start, end in zip(starts, [*starts[1:], len(words) + 1], strict=True):
            command = [word for word in words[start : end - 1] if word != "&"]
            if re.fullmatch("rmf|rmf-[a-z]+", command[0]):
                found.append([_SET.get(word, word) for word in command])
    return found


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    return list(lexer)


def assert_understood(command: list[str]) -> None:
    """Fail unless the parser of the command takes these words; nothing is run."""
    program, *words = command
    if program == "rmf":
        _assert_the_node_understands(words)
        return
    parser = importlib.import_module(f"tools.{program.replace('-', '_')}")._parser()
    try:
        parser.parse_args(words)
    except SystemExit as ended:
        raise AssertionError(f"not understood: {shlex.join(command)}") from ended


def _assert_the_node_understands(words: list[str]) -> None:
    if words[0] == "serve":
        assert node.main(["config", "check", *words[1:]]) == 0, words
    else:
        assert node.main(words) == 0, words
