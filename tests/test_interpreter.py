"""What a node says of the interpreter that it runs on."""

import platform

from rmf.interpreter import interpreter
from rmf.native import COMPILED


def test_it_names_version_and_compiler_and_whether_a_piece_is_compiled() -> None:
    said = interpreter()
    assert said.startswith(f"{platform.python_implementation()} {platform.python_version()} (")
    assert platform.python_compiler() in said
    assert said.endswith(", pure") is not COMPILED
