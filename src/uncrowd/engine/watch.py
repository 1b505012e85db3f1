"""A few scalars of the device, looked at on the host without a wait of their own."""

import torch


class Watch:
    """`values` lives on the device; `send` begins to copy it, `seen` returns the copy.

    Between the two something else waits for the device anyway (the matching does), so that `seen` costs nothing.
    """

    def __init__(self, size: int, device: torch.device):
        on_gpu = device.type == "cuda"
        self.values = torch.zeros(size, device=device)
        self._host = torch.zeros(size, pin_memory=on_gpu)
        self._copied = torch.cuda.Event() if on_gpu else None

    def send(self) -> None:
        """Begins to copy the values as they are now."""
        self._host.copy_(self.values, non_blocking=True)
        if self._copied is not None:
            self._copied.record()

    def seen(self) -> list[float]:
        """The values as they were when they were sent."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._host.tolist()
