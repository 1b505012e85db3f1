"""Contestants take turns round by round, and a ratio compares times of one round."""

from benchmarks.turns import ratios, table, take_turns, with_spread


def test_each_contestant_has_a_turn_in_every_round_and_the_first_does_not_count() -> None:
    turns: list[str] = []
    seconds = take_turns({name: lambda name=name: turns.append(name) for name in ("a", "b")}, rounds=2)
    assert turns == ["a", "b"] * 3
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


def test_a_ratio_is_of_one_round_and_has_its_spread() -> None:
    seconds = {"ours": [1.0, 2.0, 1.0], "theirs": [2.0, 2.0, 4.0]}
    assert ratios(seconds["ours"], seconds["theirs"]) == [2.0, 1.0, 4.0]
    assert with_spread([2.0, 1.0, 4.0]) == "2.00 times (1.00 to 4.00)"
    head, ours, theirs = table(seconds, "theirs").splitlines()
    assert head.split()[0] == "seconds"
    assert ours.split() == ["ours", "1.0000", "2.00", "times", "(1.00", "to", "4.00)"]
    assert theirs.split()[-2:] == ["to", "1.00)"]
