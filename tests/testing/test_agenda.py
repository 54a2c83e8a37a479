from rmf.testing.agenda import Agenda


def test_things_happen_by_time_and_then_in_the_order_in_which_they_were_put_down() -> None:
    agenda = Agenda()
    seen: list[str] = []
    agenda.after(20, seen.append, "late")
    agenda.after(10, seen.append, "first")
    agenda.after(10, seen.append, "second")
    agenda.run_until(21)
    assert seen == ["first", "second", "late"]
    assert (agenda.now_ns, agenda.done) == (21, 3)


def test_what_is_due_at_the_end_waits() -> None:
    agenda = Agenda()
    seen: list[str] = []
    agenda.at(10, seen.append, "x")
    agenda.run_until(10)
    assert seen == []


def test_what_happens_may_put_down_more_and_the_past_is_now() -> None:
    agenda = Agenda()
    seen: list[int] = []

    def again() -> None:
        seen.append(agenda.now_ns)
        agenda.at(0, seen.append, agenda.now_ns)

    agenda.after(5, again)
    agenda.run_until(6)
    assert seen == [5, 5]
