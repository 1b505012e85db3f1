"""What a file name may mean, as tools write it, and whether it leads out of its folder."""

import pytest

from uncrowd.data.images.names import leads_out, readings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("images/a.jpg", [("images", "a.jpg")]),
        ("/images/./x/../a.jpg", [("images", "a.jpg")]),
        ("images\\a.jpg", [("images\\a.jpg",), ("images", "a.jpg")]),
        ("a%20b.jpg", [("a%20b.jpg",), ("a b.jpg",)]),
        ("files?d=images/a.jpg", [("files?d=images", "a.jpg"), ("images", "a.jpg")]),
        ("a.jpg?x=1", [("a.jpg?x=1",), ("a.jpg",)]),
        (".", [(".",)]),
    ],
)
def test_what_a_name_may_mean(name: str, meant: list[tuple[str, ...]]) -> None:
    assert readings(name) == meant


def test_absolute_names_and_steps_upwards_may_lead_out() -> None:
    assert [name for name in ("a.jpg", "/a.jpg", "../a.jpg", "a/../b.jpg", "a..jpg") if leads_out(name)] == [
        "/a.jpg",
        "../a.jpg",
        "a/../b.jpg",
    ]
