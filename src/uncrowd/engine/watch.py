"""Copies a few scalars from the device to the host without a wait of their own."""

import torch


class Watch:
    """Scalars on the device, in `values`: `send` begins to copy them, `seen` returns the copy.

    Between the two calls the matching waits for the device anyway, so `seen` costs nothing.
    """

    def __init__(self, size: int, device: torch.device):
        on_gpu = device.type == "cuda"
        self.values = torch.zeros(size, device=device)
        self._host = torch.zeros(size, pin_memory=on_gpu)
        self._copied = torch.cuda.Event() if on_gpu else None

    def send(self) -> None:
        """Begins to copy the present values."""
        self._host.copy_(self.values, non_blocking=self._copied is not None)
        if self._copied is not None:
            self._copied.record()

    def seen(self) -> list[float]:
        """Returns the values of the last `send`."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._host.tolist()
