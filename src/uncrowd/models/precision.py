"""What must not be rounded to a half type under mixed precision is computed inside `full_precision`."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switches autocast off where `device` has one (the meta device, on which costs are counted, has none)."""
    return torch.autocast(device.type, enabled=False) if torch.amp.is_autocast_available(device.type) else nullcontext()
