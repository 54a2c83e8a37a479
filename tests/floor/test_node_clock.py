"""The clocks of a node: one that only rises, and the name of the boot that it counts from."""

from rmf.floor.node_clock import boot_id, boot_ns, now, run_by


def test_boot_time_never_goes_back() -> None:
    times = [now().boot_ns for _ in range(100)]
    assert times == sorted(times)


def test_a_boot_has_one_name() -> None:
    assert len(boot_id()) == 16
    assert boot_id() == boot_id()


def test_a_process_goes_by_another_clock_while_a_test_says_so() -> None:
    with run_by(lambda: 42):
        assert (boot_ns(), now().boot_ns) == (42, 42)
    assert boot_ns() != 42
