"""Which Host is served, and what a query asks for."""

import threading

import pytest
import trio

from rmf import limits
from rmf.floor.web.http_answers import Answers, Request, host_fault
from rmf.floor.web.readings import DiskFacts
from tests.floor.http_kit import DISK, Node, facts_of_a_king


@pytest.mark.parametrize(
    ("host", "listens", "served"),
    [
        (None, "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("127.0.0.7:80", "127.0.0.1", True),
        ("[::1]", "127.0.0.1", True),
        ("10.0.0.1", "127.0.0.1", False),
        ("10.0.0.1:7480", "0.0.0.0", True),
        ("[fe80::1]:7480", "::", True),
        ("node.plant:7480", "0.0.0.0", False),
        ("Node.Plant:7480", "node.plant", True),
        ("node.plant.evil.example", "node.plant", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("[::1", "127.0.0.1", True),
        ("[", "127.0.0.1", False),
        (":80", "127.0.0.1", False),
        ("localhost:x", "127.0.0.1", False),
    ],
)
def test_only_names_of_this_node_are_served(host: str | None, listens: str, served: bool) -> None:
    assert (host_fault(host, listens) == "") == served


def test_other_names_are_served_where_they_are_given() -> None:
    assert host_fault("gate.example:1", "127.0.0.1")
    assert host_fault("gate.example:1", "127.0.0.1", frozenset({"gate.example"})) == ""


async def ask(node: Node, target: str) -> tuple[int, str]:
    answers = Answers(node.sources, "127.0.0.1")
    response = await answers.to(Request("GET", target, "localhost"))
    return response.status, response.body.decode()


async def test_readyz_takes_verbose_and_exclude() -> None:
    strike = {"kind": "admin", "why": "told to"}
    node = Node(facts_of_a_king(strike=strike))
    assert await ask(node, "/readyz") == (503, "[-]no_strike failed: admin: told to\nnot ready\n")
    assert await ask(node, "/readyz?exclude=no_strike,arbiter") == (200, "ready\n")
    assert "[+]arbiter ok" in (await ask(node, "/readyz?verbose"))[1]
    assert (await ask(node, "/readyz?verbose&exclude=no_strike"))[0] == 200


async def test_metrics_go_without_a_disk_that_cannot_be_asked() -> None:
    def broken() -> DiskFacts:
        raise OSError(5, "Input/output error")

    assert "\nrmf_disk_free_bytes 1e+09\n" in (await ask(Node(), "/metrics"))[1]
    status, text = await ask(Node(look_at_disk=broken), "/metrics")
    assert (status, "rmf_disk_free_bytes" in text) == (200, False)
    assert "\nrmf_term 3.0\n" in text


async def test_metrics_go_without_a_disk_that_hangs_and_lose_one_thread_to_it(
    autojump_clock: trio.abc.Clock,
) -> None:
    looks = []
    looked, back = threading.Event(), threading.Event()

    def hung() -> DiskFacts:
        looks.append(threading.get_ident())
        looked.set()
        back.wait()
        return DISK

    answers = Answers(Node(look_at_disk=hung).sources, "127.0.0.1")
    try:
        for _ in range(3):
            began = trio.current_time()
            response = await answers.to(Request("GET", "/metrics", None))
            assert trio.current_time() - began <= 2 * limits.HTTP_DISK_S_MAX
            assert b"rmf_disk_free_bytes" not in response.body
        assert looked.wait(10), "virtual time ran out before the thread had begun"
    finally:
        back.set()
    assert len(looks) == 1
