"""The device memory that training held at most, on devices that keep count."""

import torch


class Peak:
    """From its making on. A CPU keeps no count of what a program's tensors hold; memory that was predicted, or that
    the whole process has, is no measurement of a training step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.before = 0
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_allocated(device)

    def share(self, members: int) -> dict[str, object]:
        """A record's entry: bytes above what was held before, divided by the members; none where nobody counts."""
        if self.device.type != "cuda":
            return {}
        return {"peak_bytes": (torch.cuda.max_memory_allocated(self.device) - self.before) // members}
