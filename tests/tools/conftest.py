"""Fixtures of the commands' tests."""

import pytest

from tests.tools.cat import Cat


@pytest.fixture
def cat(capfdbinary: pytest.CaptureFixture[bytes]) -> Cat:
    return Cat(capfdbinary)
