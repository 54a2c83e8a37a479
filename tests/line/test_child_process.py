"""line/child_process: whatever a job does in its child, this process goes on and knows of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rmf import limits
from rmf.line.child_process import Ended, Tell, ends_within, run_in_child, signal_name


def run(job: Callable[[Tell], Any], **more: Any) -> Ended:
    return run_in_child(job, **{"whole_s": 20, "memory_bytes": 512 * limits.MIB, **more})


def spin() -> None:
    while True:
        pass


def test_an_answer_comes_back_behind_what_was_told() -> None:
    def job(tell: Tell) -> Any:
        tell(["a", 1])
        tell(None)
        return {"big": "x" * 3_000_000}

    ended = run(job)
    assert (ended.told, ended.answered, ended.late) == ([["a", 1], None], True, None)
    assert ended.answer == {"big": "x" * 3_000_000}


def test_no_answer_is_not_the_answer_none() -> None:
    assert run(lambda _tell: None).answered
    assert not run(lambda _tell: os._exit(0)).answered


def test_what_was_told_is_known_of_a_job_that_ends_its_process() -> None:
    def job(tell: Tell) -> None:
        tell("here")
        os._exit(3)

    ended = run(job)
    assert (ended.told, ended.answered, ended.late, ended.code) == (["here"], False, None, 3)


def test_a_job_that_goes_on_for_too_long_is_killed_and_says_where_it_was() -> None:
    ended = run(lambda _tell: spin(), whole_s=0.1)
    assert (ended.answered, ended.late, ended.code) == (False, "overdue", -signal.SIGKILL)
    assert "in spin" in ended.stack


def test_a_job_that_tells_without_end_is_late_too() -> None:
    def job(tell: Tell) -> None:
        for number in count():
            tell(number)

    ended = run(job, whole_s=0.1)
    assert (ended.late, ended.told[:3]) == ("overdue", [0, 1, 2])


def test_a_job_that_closes_the_way_back_and_hangs_is_killed() -> None:
    def job(_tell: Tell) -> None:
        os.closerange(3, 1024)
        spin()

    assert run(job, whole_s=0.1).late == "overdue"


def test_a_job_that_hangs_is_killed_before_its_time() -> None:
    looks = iter([False, True])
    ended = run(lambda _tell: spin(), is_hung=lambda: next(looks))
    assert (ended.answered, ended.late) == (False, "hung")


def test_a_death_is_known_at_once_though_what_was_forked_off_holds_the_pipe() -> None:
    def job(tell: Tell) -> None:
        other = os.fork()
        if not other:
            spin()
        tell(other)
        os._exit(4)

    ended = run(job)
    assert (ended.answered, ended.late, ended.code) == (False, None, 4)
    os.kill(ended.told[0], signal.SIGKILL)


def test_what_the_job_forks_off_does_not_speak_for_it() -> None:
    def job(tell: Tell) -> str:
        other = os.fork()
        tell("first" if other else "second")
        if other:
            os.waitpid(other, 0)
        return "answer"

    ended = run(job)
    assert (ended.told, ended.answer) == (["first"], "answer")


def test_memory_has_an_end(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run(lambda _tell: len(bytearray(256 * limits.MIB)), memory_bytes=64 * limits.MIB)
    assert (ended.answered, ended.code) == (False, 1)
    assert "MemoryError" in capfd.readouterr().err


def test_an_exception_of_the_job_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run(lambda _tell: os.environ["NOTHING"])
    assert (ended.answered, ended.code) == (False, 1)
    assert "KeyError: 'NOTHING'" in capfd.readouterr().err


def test_it_prints_to_stderr_and_has_no_input(capfd: pytest.CaptureFixture[str]) -> None:
    def job(_tell: Tell) -> str:
        print("from the job")
        return sys.stdin.read()

    assert run(job).answer == ""
    assert capfd.readouterr() == ("", "from the job\n")


def descriptors() -> list[str]:
    return sorted(file.name for file in Path("/proc/self/fd").iterdir())


def test_neither_a_child_nor_a_descriptor_is_left() -> None:
    def job(tell: Tell) -> None:
        tell(os.getpid())
        spin()

    before = descriptors()
    ended = run(job, whole_s=0.1)
    assert descriptors() == before
    assert not Path(f"/proc/{ended.told[0]}").exists()


def test_the_child_of_a_process_that_is_killed_is_gone_with_it() -> None:
    parent = (
        "import os, time\n"
        "from rmf.line.child_process import run_in_child\n"
        "def job(tell):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
        "run_in_child(job, whole_s=60, memory_bytes=1 << 29)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        child = os.pidfd_open(int(process.stderr.readline()))
        assert not ends_within(child, 0)
        process.kill()
        assert ends_within(child, 10)
        os.close(child)


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (34, "SIGRTMIN"), (40, "signal 40")])
def test_each_signal_has_a_name(number: int, name: str) -> None:
    assert signal_name(number) == name
