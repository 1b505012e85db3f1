"""Numbers and lists read as a person would write them."""

import pytest

from uncrowd.words import counted, first, listed, nearest, one_line, printable


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2, "box", "2 boxes"),
        (3, "class", "3 classes"),
        (1, "class", "1 class"),
    ],
)
def test_nouns_follow_their_number(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


@pytest.mark.parametrize(
    ("values", "text"), [([], ""), ([1], "1"), (["a", "b"], "a, b"), (iter("abc"), "a, b, ..."), ("abcd", "a, b, ...")]
)
def test_a_list_that_is_cut_ends_in_dots(values: list[object], text: str) -> None:
    assert first(values, 2) == text


def test_a_misspelt_word_gets_the_nearest_known_one() -> None:
    assert nearest("tomatos", ["potatoes", "tomatoes"]) == "; the nearest is tomatoes"
    assert nearest("car", ["potatoes", "tomatoes"]) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café\u00a0人.jpg", "café\u00a0人.jpg"),
        ("a\nuncrowd: all is well", r"a\nuncrowd: all is well"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\ud800", r"\ud800"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
    ],
)
def test_what_a_terminal_would_not_show_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_sentences_below_a_heading():
    assert f"read:{listed(['a.', 'b.'], 2)}" == "read:\n  a.\n  b."
    assert listed(["a.", "b.", "c."], 2) == "\n  a.\n  b.\n  ..."


def test_a_long_line_loses_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncrowd.words.LONGEST_LINE", 6)
    assert one_line("abcde\n") == r"abc ... e\n"
    assert one_line("abcdef") == "abcdef"
    assert one_line("abcdefg") == "abc ... efg"
