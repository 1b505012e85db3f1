"""A rank that loses another one says so."""

import pytest
from torch.distributed import DistBackendError

from uncrowd.engine.accelerator import peers
from uncrowd.errors import PeerLostError

GLOO = "[../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:22914"


@pytest.mark.parametrize("error", [RuntimeError(GLOO), DistBackendError("NCCL error: remote process exited")])
def test_a_lost_connection_is_one_sentence(error: RuntimeError) -> None:
    with pytest.raises(PeerLostError, match=r"^rank 0 of 2 lost its connection to another rank, "), peers(0, 2):
        raise error


@pytest.mark.parametrize(("ranks", "error"), [(2, RuntimeError("shape mismatch")), (1, RuntimeError(GLOO))])
def test_other_errors_stay_as_they_are(ranks: int, error: RuntimeError) -> None:
    with pytest.raises(RuntimeError) as caught, peers(0, ranks):
        raise error
    assert caught.value is error
