"""The public names, and what importing the package costs."""

import subprocess
import sys

import pytest

import rmf
from rmf.client.factory import Factory


def test_every_public_name_is_there() -> None:
    assert {"connect", "Line", "Keep", "Fresh", "REMOVE", "Raw", "Refused"} <= set(rmf.__all__)
    assert all(getattr(rmf, name) is not None for name in rmf.__all__)
    assert set(rmf.__all__) <= set(dir(rmf))
    assert rmf.Factory is Factory


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = rmf.nonsense


@pytest.mark.parametrize("module", ["rmf", "rmf.client.client_session", "rmf.client.command"])
def test_importing_brings_neither_trio_nor_attrs(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'trio', 'attr', 'attrs'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
