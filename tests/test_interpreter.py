"""What a node says of the interpreter that it runs on."""

import platform
import sys

from rmf.interpreter import interpreter
from rmf.native import COMPILED


def test_it_names_version_compiler_and_file() -> None:
    said = interpreter()
    assert said.startswith(f"{platform.python_implementation()} {platform.python_version()} (")
    assert platform.python_compiler() in said
    assert said.endswith(f") {sys.executable}{'' if COMPILED else ', pure'}")
