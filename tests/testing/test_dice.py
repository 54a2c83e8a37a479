from rmf.testing.dice import Dice


def test_a_consumer_has_its_own_stream_whatever_others_take() -> None:
    alone = Dice(7).stream("network").random()
    dice = Dice(7)
    for _ in range(10):
        dice.stream("workload").random()
    assert dice.stream("network").random() == alone
    assert dice.stream("workload").random() != alone


def test_seeds_differ() -> None:
    assert Dice(7).stream("network").random() != Dice(8).stream("network").random()


def test_waiting_times_have_their_mean_and_an_end() -> None:
    stream = Dice(1).stream("waits")
    waits = [stream.wait_ns(1000) for _ in range(4000)]
    assert 900 < sum(waits) / len(waits) < 1100
    assert max(waits) <= 10_000
