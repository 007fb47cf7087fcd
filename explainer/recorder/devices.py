"""Tensors on a GPU: summarised there, and brought to the host on a stream of its own.

A hook that waited for the device would stop the training at every tensor. Here a copy is made on the device, so that
nothing later can reach it; a second stream carries it to the host while the training goes on; and the recorder waits
once, when the step is closed.
"""

import torch

from explainer.statistics import Moments


def is_far(tensor: torch.Tensor) -> bool:
    """Whether reading a tensor's values would wait for a device."""
    return tensor.is_cuda


class Ferry:
    """Carries tensors to the host."""

    def __init__(self) -> None:
        self._streams: dict[torch.device, torch.cuda.Stream] = {}

    def bring(self, tensor: torch.Tensor) -> torch.Tensor:
        """Start to carry a tensor over; what is returned holds its values after `wait`."""
        device = tensor.device
        stream = self._streams.get(device)
        if stream is None:
            stream = self._streams[device] = torch.cuda.Stream(device)
        copy = tensor.detach().clone()
        stream.wait_stream(torch.cuda.current_stream(device))
        host = torch.empty(copy.shape, dtype=copy.dtype, pin_memory=True)
        with torch.cuda.stream(stream):
            host.copy_(copy, non_blocking=True)
        copy.record_stream(stream)  # its memory is not given to another tensor before it was read
        return host

    def wait(self) -> None:
        """Wait for all that is on its way."""
        for stream in self._streams.values():
            stream.synchronize()


def moments_there(tensor: torch.Tensor) -> torch.Tensor:
    """Compute a tensor's moments where it lies, without waiting.

    Returns:
        (8,) float64, in the order of `Moments`.
    """
    with torch.no_grad(), torch.autocast(tensor.device.type, enabled=False):
        values = tensor.detach().reshape(-1).double()
        size = torch.full((), float(len(values)), dtype=torch.float64, device=tensor.device)
        if not len(values):
            return torch.zeros(len(Moments._fields), dtype=torch.float64, device=tensor.device)
        total, magnitude = values.sum(), values.abs()
        return torch.stack(
            [
                size,
                total,
                magnitude.sum(),
                values.dot(values),
                (values - total / size).square().sum(),
                magnitude.max(),
                (values == 0).sum().double(),
                (~values.isfinite()).sum().double(),
            ]
        )
