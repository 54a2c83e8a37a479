"""What CPU time is read off /proc, of processes that burn some."""

import os
import subprocess
import sys

from tools.bench_cpu import family, threads, tree_cpu_s

_BURN = "import time\nwhile time.process_time() < 0.15: pass\nprint('burnt', flush=True)\ninput()"
_PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_BURN!r}])"


def test_what_a_child_of_a_child_burns_counts() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"burnt\n"
        assert len(family(process.pid)) == 2
        assert 0.14 < tree_cpu_s([process.pid]) < 2
        process.communicate(b"\n")
    assert family(process.pid) == []
    assert tree_cpu_s([process.pid]) == 0


def test_a_thread_has_a_name_and_has_run() -> None:
    mine = threads(os.getpid())[os.getpid()]
    assert mine.name
    assert mine.cpu_s > 0
