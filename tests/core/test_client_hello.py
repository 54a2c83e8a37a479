"""The first words: who is let in as what, and what is kept of strangers."""

from typing import Any

import pytest

from rmf.core import messages as m
from rmf.core.client_hello import Guest, guest_of
from rmf.errors import ProtocolFault

CLUSTER = b"c" * 16


def hello(**options: Any) -> m.Hello:
    return m.Hello({"versions": [1, 1], "agent": "tests/1", **options})


@pytest.mark.parametrize(
    ("said", "guest"),
    [
        (hello(), Guest(None, False, "tests/1")),
        (hello(producer="probe"), Guest("probe", False, "tests/1")),
        (hello(producer="p", ephemeral=True), Guest("p", True, "tests/1")),
        (hello(producer="p", ephemeral=False), Guest("p", False, "tests/1")),
        (hello(producer="p", epoch=1840), Guest("p", False, "tests/1", 1840)),
        (hello(cluster=CLUSTER), Guest(None, False, "tests/1")),
        (hello(unknown=["what", "ever"]), Guest(None, False, "tests/1")),
        (hello(versions=[0, 9]), Guest(None, False, "tests/1")),
        (m.Hello({"versions": [1, 1]}), Guest(None, False, "")),
        (hello(producer="Ä" * 127), Guest("Ä" * 127, False, "tests/1")),
    ],
    ids=repr,
)
def test_a_hello_names_its_guest(said: m.Hello, guest: Guest) -> None:
    assert guest_of(said, CLUSTER) == guest


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (hello(versions=[2, 3]), "wrong_version"),
        (hello(versions=[0, 0]), "wrong_version"),
        (m.Hello({}), "wrong_shape"),
        (hello(versions=1), "wrong_shape"),
        (hello(versions=[1]), "wrong_shape"),
        (hello(versions=[1, 1, 1]), "wrong_shape"),
        (hello(versions=["1", "1"]), "wrong_shape"),
        (hello(versions=[True, True]), "wrong_shape"),
        (hello(versions=[1.0, 1.0]), "wrong_shape"),
        (hello(cluster=b"another"), "wrong_cluster"),
        (hello(cluster="c"), "wrong_cluster"),
        (hello(producer=7), "wrong_shape"),
        (hello(producer=b"probe"), "wrong_shape"),
        (hello(ephemeral=1), "wrong_shape"),
        (hello(producer="p", epoch=0), "wrong_shape"),
        (hello(producer="p", epoch="7"), "wrong_shape"),
        (hello(agent=None, ephemeral="yes"), "wrong_shape"),
        (hello(producer=""), "producer_name"),
        (hello(producer="a\nb"), "producer_name"),
        (hello(producer="Ä" * 128), "producer_name"),
    ],
    ids=repr,
)
def test_a_hello_that_cannot_be_is_refused_by_name(said: m.Hello, code: str) -> None:
    with pytest.raises(ProtocolFault) as refused:
        guest_of(said, CLUSTER)
    assert refused.value.code == code
