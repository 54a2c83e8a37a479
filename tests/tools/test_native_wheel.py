"""Wheels for other machines: what the hook hears. They are built by hand: it takes zig."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.native_wheel import MACHINES, environment


def test_each_machine_has_its_compiler_and_its_name() -> None:
    assert [environment(machine, Path("/z/zig")) for machine in MACHINES] == [
        {
            "RMF_NATIVE_CC": f"/z/zig cc -target {machine}-linux-gnu.2.17",
            "RMF_NATIVE_PLATFORM": f"manylinux_2_17_{machine}.manylinux2014_{machine}",
        }
        for machine in ("x86_64", "aarch64")
    ]


@pytest.mark.skipif(find_spec("ziglang") is not None, reason="zig is here: it would build")
def test_without_zig_it_says_what_to_install() -> None:
    command = [sys.executable, "-m", "tools.native_wheel"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "found no zig: pip install ziglang\n")
