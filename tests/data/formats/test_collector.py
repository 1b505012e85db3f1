"""The garbage collector is off while records are read, and afterwards as it was."""

import gc

import pytest

from uncrowd.data.formats.collector import collector_paused


def test_it_is_off_meanwhile_and_on_again_even_after_an_error() -> None:
    @collector_paused()
    def read() -> None:
        raise ValueError("on" if gc.isenabled() else "off")

    assert gc.isenabled()
    with pytest.raises(ValueError, match="off"):
        read()
    assert gc.isenabled()


def test_it_stays_off_where_it_was() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
