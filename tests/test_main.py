"""The command line of the node: what it prints, where, and which exit code it gives."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from rmf import manual
from rmf.__main__ import main


def run(*argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m rmf` as a user would, with nothing but this in its environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RMF_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "rmf", *argv],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_config_show_on_a_pipe_is_one_json_object_of_values_and_origins() -> None:
    done = run("config", "show", "--tick", "1ms", RMF_NODE="n7")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert shown["tick"] == {"value": "1ms", "origin": "flag --tick"}
    assert shown["node"] == {"value": "n7", "origin": "environment RMF_NODE"}
    assert shown["listen"] == {"value": "127.0.0.1:7410", "origin": "default"}
    assert shown["demo"] == {"value": False, "origin": "default"}


def test_config_show_as_a_table_has_a_line_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "-o", "table", "--demo", "--data", "/d"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["data", "/d", "flag", "--data"] in [line.split() for line in lines]
    assert ["demo", "on", "flag", "--demo"] in [line.split() for line in lines]
    assert ["advertise", "-", "default"] in [line.split() for line in lines]
    assert ["handler_memory", "512MiB", "default"] in [line.split() for line in lines]


def test_config_check_says_so_and_leaves_notices_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["config", "check", "--listen", "0.0.0.0:0", "--insecure"]) == 0
    said = capsys.readouterr()
    assert said.out == "the settings are well\n"
    assert said.err.startswith("rmf: insecure: any client that reaches 0.0.0.0:0")


@pytest.mark.parametrize("command", [["config", "check"], ["config", "show"], ["serve"]])
def test_a_wrong_setting_ends_every_command_with_code_2(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--tick", "1h", "--node", "/"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    errors = said.err.splitlines()
    assert errors[0].startswith("rmf: error: node: found '/' (flag --node), expected")
    assert errors[1].startswith("rmf: error: tick: found '1h' (flag --tick), expected")


def test_a_broken_file_ends_with_code_2_and_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rmf.toml").write_text("node = 'n1'\nlisten\n")
    assert main(["config", "check", "--config", str(tmp_path / "rmf.toml")]) == 2
    assert "rmf.toml, line 2, column 7: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "no command: expected serve, config or help"),
        (["serv"], "invalid choice: 'serv'"),
        (["config"], "the following arguments are required: verb"),
        (["config", "chek"], "invalid choice: 'chek'"),
        (["serve", "--lisen", "127.0.0.1:0"], "'--lisen'; did you mean --listen?"),
        (["serve", "--ingest-dept=9"], "did you mean --ingest-depth?"),
        (["serve", "--ins"], "unknown argument '--ins'"),
        (["serve", "extra"], "unknown argument 'extra'"),
        (["serve", "--data"], "expected one argument"),
        (["help", "dql"], "unknown topic 'dql'; did you mean dlq?"),
        (["help", "dlq", "--node", "n1"], "unknown argument '--node'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("rmf: error: ")
    assert complaint in error
    assert error.count("\n") == 1


HELPS = [["--help"], ["serve", "--help"], ["config", "-h"], ["help", "--help"], ["help", "serve"]]


@pytest.mark.parametrize("argv", HELPS)
def test_help_begins_with_examples(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("examples:\n  rmf ")


def test_help_lists_the_manuals_and_prints_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    listed = capsys.readouterr().out
    for topic in manual.topics():
        assert f"  {topic} " in listed
        assert manual.about(topic) in listed
    assert main(["help", "dlq"]) == 0
    assert capsys.readouterr().out == manual.text_of("dlq")


def test_version_is_a_line_and_as_json_what_a_report_needs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rmf {version('rmf')}\n"
    assert main(["--version", "-o", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["protocol"] == 1
    assert {"rmf", "python", "trio", "attrs", "cbor2", "apsw", "system"} <= facts.keys()


def test_a_path_that_is_no_text_is_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "-o", "table", "--data", "/\udcff"]) == 0
    assert r"/\udcff" in capsys.readouterr().out


def test_config_answers_without_loading_trio() -> None:
    code = (
        "import sys; from rmf.__main__ import main; main(['config', 'check']);"
        " assert not {'trio', 'psutil', 'tomllib', 'rmf.floor'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_went_away_ends_the_command_in_silence() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "rmf", "config", "show"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("words", [["config", "show"], ["--version"], ["help"]])
@pytest.mark.parametrize(
    ("redirected", "why"),
    [(">/dev/full", "No space left on device"), (">&-", "standard output is closed")],
)
def test_what_cannot_be_said_is_one_line_on_stderr(
    words: list[str], redirected: str, why: str
) -> None:
    rmf = [sys.executable, "-m", "rmf", *words]
    shell = ["sh", "-c", f'exec "$@" {redirected}', "sh", *rmf]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("rmf: error: ")
    assert done.stderr.endswith(f"{why}\n")
    assert done.stderr.count("\n") == 1
