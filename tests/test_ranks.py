"""What each rank does, and how the parts become the whole. There are real ranks in tests/cli/test_ranks.py."""

import pytest
from torch.distributed import DistBackendError, DistStoreError

from uncrowd.errors import PeerLostError
from uncrowd.ranks import ALONE, Ranks, joined, peers

GLOO = "[../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:22914"


@pytest.fixture
def connected(monkeypatch):
    """`connected(shares)`: what all ranks hand over when one gathers."""

    def say(shares: list[list[int]]) -> None:
        def all_gather_object(of_all, own):
            of_all[:] = shares

        monkeypatch.setattr("torch.distributed.all_gather_object", all_gather_object)

    return say


@pytest.mark.parametrize("items", [0, 1, 2, 7, 9])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_all_shares_together_are_the_whole_in_order(connected, items, size):
    whole = list(range(items))
    shares = [Ranks(rank, size).share(whole) for rank in range(size)]
    connected(shares)
    for rank, share in enumerate(shares):
        assert items // size <= len(share) <= items // size + 1
        assert Ranks(rank, size).gather(share) == whole


def test_alone_each_result_comes_at_once():
    begun = []
    results = ALONE.each(["ab", "c"], lambda word: (begun.append(letter) or letter for letter in word))
    assert (next(results), begun) == ("a", ["a"])
    assert [*results] == ["b", "c"]


def test_ranks_take_the_gpus_of_their_machine_in_turn(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    given = {}
    for local in ("0", "1", "2"):
        monkeypatch.setenv("LOCAL_RANK", local)
        given[local] = Ranks(5, 8).device(None), Ranks(5, 8).device("cuda:1"), Ranks(5, 8).device("cpu")
    assert given == {
        "0": ("cuda:0", "cuda:1", "cpu"),
        "1": ("cuda:1", "cuda:1", "cpu"),
        "2": ("cuda:0", "cuda:1", "cpu"),
    }
    assert ALONE.device(None) is None


@pytest.mark.parametrize("error", [RuntimeError(GLOO), DistBackendError("NCCL error: remote process exited")])
def test_a_lost_connection_is_one_sentence(error: RuntimeError) -> None:
    sentence = r"^rank 0 of 2 has no connection to another rank, .* why, and begin again\.$"
    with pytest.raises(PeerLostError, match=sentence), peers(Ranks(0, 2), "begin again"):
        raise error


@pytest.mark.parametrize(("ranks", "error"), [(2, RuntimeError("shape mismatch")), (1, RuntimeError(GLOO))])
def test_other_errors_stay_as_they_are(ranks: int, error: RuntimeError) -> None:
    with pytest.raises(RuntimeError) as caught, peers(Ranks(0, ranks), "begin again"):
        raise error
    assert caught.value is error


def test_a_rank_that_never_comes_is_one_sentence_too(monkeypatch):
    def wait_in_vain(*_, **__):
        raise DistStoreError("Timed out after 7201 seconds waiting for clients. 1/2 clients joined.")

    monkeypatch.setattr("torch.distributed.init_process_group", wait_in_vain)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(PeerLostError, match=r"^rank 0 of 2 has no connection .* never came; "), joined():
        raise AssertionError("it has not joined")
