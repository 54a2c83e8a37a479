"""`rmf-dlq redrive`: what may be named, what is shown first, what a bag that comes back looks like.

How jobs are sent: test_redrive_job.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf.storage.dlq_schema import DLQ_FILE
from tests.storage.dlq_letters import letter, opened
from tools.rmf_dlq import main


@pytest.fixture
def offline(tmp_path: Path) -> Iterator[list[str]]:
    with opened(tmp_path / DLQ_FILE) as store:
        store.put_line([letter(1)], 1)
        yield ["--data", str(tmp_path)]


def test_a_directory_cannot_be_redriven(
    offline: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["redrive", "3.1.0", *offline]) == 2
    assert "running node" in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["0", "-3", "fast", "nan"])
def test_a_rate_is_a_number_above_nothing(rate: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["redrive", "3.1.0", "--rate", rate])
    assert end.value.code == 2
