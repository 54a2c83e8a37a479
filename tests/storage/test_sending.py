"""storage/sending: from where on history is needed by peers, and for how long."""

from rmf import limits
from rmf.storage.sending import Sending


def test_history_is_needed_from_the_oldest_that_any_peer_is_sent() -> None:
    sending = Sending()
    assert sending.oldest(0) is None
    sending.needs("n2", 900, 1)
    sending.needs("n3", 500, 2)
    assert sending.oldest(3) == 500
    sending.needs("n3", 1200, 4)  # it has the Checkpoint, and is sent what lies behind it
    assert sending.oldest(5) == 900


def test_a_peer_that_is_sent_nothing_for_long_needs_nothing() -> None:
    sending, most_s = Sending(), limits.SENDING_S_MAX
    sending.needs("n2", 500, 0)
    sending.needs("n3", 900, 10)
    assert sorted(sending.peers(most_s)) == ["n2", "n3"]
    assert sending.oldest(most_s + 1) == 900
    assert sending.peers(most_s + 1) == ["n3"]
    assert sending.oldest(most_s + 11) is None


def test_what_there_is_no_room_for_is_given_up_and_who_starts_over_is_said() -> None:
    sending = Sending()
    sending.needs("n2", 500, 0)
    assert not sending.take_given_up()
    assert sending.give_up() == ["n2"]
    assert sending.oldest(0) is None
    assert [sending.take_given_up() for _ in range(2)] == [True, False]
