"""A step on a GPU waits for it only once. The test is skipped without a GPU."""

import warnings
from pathlib import Path

import pytest
import torch
from benchmarks.made_up_model import BatchConfig, made_up_batch
from benchmarks.training_steps import EngineStep

from tests.models.small import SMALL

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.mark.parametrize("bf16", [False, True])
def test_a_step_waits_for_the_device_to_match_and_for_nothing_else(bf16: bool) -> None:
    """Counts the waits that torch notices: copies to the host, and values that are read there."""
    step = EngineStep(SMALL, images=2)
    batch = made_up_batch(BatchConfig(images=2, height=128, width=160, objects=3, classes=SMALL.num_classes))
    step(batch, bf16)  # the first one also chooses algorithms
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step(batch, bf16)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [warning for warning in caught if "synchronizing CUDA operation" in str(warning.message)]
    assert [Path(wait.filename).name for wait in waits] == ["matcher.py"], [str(w) for w in waits]
