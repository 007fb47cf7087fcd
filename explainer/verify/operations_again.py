"""The operations of torch.nn over again: built from a trace's settings alone, to be applied in any precision.

Nothing here has seen the run: a layer is its class, its recorded settings and its recorded parameters.
"""

import inspect
import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from explainer.verify.comparing import Array

# Each works on every example by itself, and is a function of one input and its parameters.
BY_EXAMPLE = frozenset("""
    Linear NonDynamicallyQuantizableLinear Identity Flatten Unflatten Embedding
    Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d
    CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU ReLU ReLU6 SELU SiLU
    Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink Threshold
    LogSoftmax Softmax Softmax2d Softmin
    LayerNorm GroupNorm RMSNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d LocalResponseNorm
    MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d LPPool1d LPPool2d
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d
    ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
    ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d CircularPad1d CircularPad2d CircularPad3d
    PixelShuffle PixelUnshuffle ChannelShuffle Upsample UpsamplingNearest2d UpsamplingBilinear2d Fold Unfold
    Permute LayerNorm2d
""".split())  # fmt: skip  # noqa: SIM905 - a table of names reads better without quotes
# Each needs every example of the batch, or all that lies along the first dimension.
BY_BATCH = frozenset({"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "RNN", "LSTM", "GRU", "MultiheadAttention"})
DROPOUTS = frozenset({"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "StochasticDepth", "DropPath"})
LOSSES = frozenset("""
    MSELoss L1Loss SmoothL1Loss HuberLoss NLLLoss CrossEntropyLoss BCELoss BCEWithLogitsLoss KLDivLoss PoissonNLLLoss
    SoftMarginLoss HingeEmbeddingLoss MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss
""".split())  # fmt: skip  # noqa: SIM905 - a table of names reads better without quotes
WEIGHTED = frozenset({"NLLLoss", "CrossEntropyLoss"})  # by class; the weights are not in a trace

_RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")


# What a layer or a trace from elsewhere may make torch say.
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AttributeError, AssertionError, OverflowError)


class Unjudged(Exception):  # it never leaves this package
    """There is no way to judge something; the message is the reason."""


class _Permute(nn.Module):
    """As torchvision's."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(self.dims)


class _LayerNorm2d(nn.LayerNorm):
    """As torchvision's: over the channels of an image."""

    def __init__(self, normalized_shape: tuple[int, ...], eps: float, bias: bool = True) -> None:
        super().__init__(normalized_shape, eps=eps, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


_ELSEWHERE: dict[str, type[nn.Module]] = {
    "NonDynamicallyQuantizableLinear": nn.Linear, "Permute": _Permute, "LayerNorm2d": _LayerNorm2d,
}  # fmt: skip


def operation(kind: str, settings: Mapping[str, Any], own: set[str]) -> nn.Module:
    """Build a layer or loss of torch's from what a trace says of it, without values: `applied` gives it those.

    Args:
        kind: Its class.
        settings: Its plain attributes.
        own: The names of its parameters.

    Raises:
        Unjudged: Its settings do not make one, or one with other parameters.
    """
    made = _ELSEWHERE.get(kind) or getattr(nn, kind)
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    if kind in ("RNN", "LSTM", "GRU"):
        takes = [*_RECURRENT, *{"RNN": ["nonlinearity"], "LSTM": ["proj_size"]}.get(kind, [])]
    else:
        takes = [each for each in inspect.signature(made).parameters if each not in ("device", "dtype")]
    chosen = {key: given[key] for key in takes if key in given and key not in ("size_average", "reduce")}
    fixed = {"inplace": False, "track_running_stats": False, "return_indices": False, "max_norm": None}
    chosen |= {key: value for key, value in fixed.items() if key in takes}
    if "bias" in takes and kind not in ("RNN", "LSTM", "GRU"):
        chosen["bias"] = bool({"bias", "in_proj_bias"} & own)
    try:
        with torch.device("meta"):  # no memory, and no random numbers taken from the user's
            module: nn.Module = made(**chosen)
    except REFUSALS as error:
        raise Unjudged(f"its settings in the trace do not make a {kind}: {error}") from error
    _complete(module, kind, own)
    return module.train()


def _complete(module: nn.Module, kind: str, own: set[str]) -> None:
    """Refuse a layer that would be left with memory without values: what a trace does not tell is not made up."""
    needed = {name for name, _ in itertools.chain(module.named_parameters(), module.named_buffers())}
    if needed != own:
        has, takes = (", ".join(sorted(names)) or "none" for names in (own, needed))
        made_of = "pruned, weight-normed or otherwise made of other parameters"
        raise Unjudged(f"its parameters are {has}, where a {kind} has {takes}: {made_of}, which is not worked out here")


def attended(module: nn.Module, parameters: Mapping[str, torch.Tensor], x: torch.Tensor, *, causal: bool) -> list[Any]:
    """Apply attention of a sequence to itself, with its weights.

    Args:
        x: (example, place, feature), or (place, example, feature) as the module's `batch_first` says.
        causal: Whether no place sees those after it.

    Raises:
        Unjudged: It does not take this input.
    """
    settings: Any = module
    settings.dropout = 0.0  # as in evaluation; what is dropped out in training is not in a trace
    places = x.shape[1] if settings.batch_first or x.ndim == 2 else x.shape[0]
    mask = torch.ones(places, places, dtype=torch.bool).triu(1) if causal else None
    named = {"attn_mask": mask, "need_weights": True}
    try:
        return list(functional_call(module, dict(parameters), (x, x, x), named))
    except REFUSALS as error:
        raise Unjudged(f"MultiheadAttention does not take the recorded input: {error}") from error


def applied(module: nn.Module, parameters: Mapping[str, torch.Tensor], *given: torch.Tensor) -> Any:
    """Apply an operation with these parameters.

    Raises:
        Unjudged: It does not take what it is given.
    """
    try:
        return functional_call(module, dict(parameters), given)
    except REFUSALS as error:
        raise Unjudged(f"{type(module).__name__} does not take the recorded input: {error}") from error


def dropped(x: torch.Tensor, settings: Mapping[str, Any], recorded: torch.Tensor) -> torch.Tensor:
    """Apply dropout with the mask that its input and output show: y is 0, or x / (1 − p).

    Where x is 0 nothing shows, so the derivative is NaN there, and nobody is judged by it.

    Raises:
        Unjudged: The shapes do not fit.
    """
    if x.shape != recorded.shape:
        raise Unjudged("a function that no module sees stands before it")
    share = float(settings.get("p", settings.get("drop_prob", 0.5)))
    passes_on = share in (0.0, 1.0) or torch.equal(x.detach(), recorded.to(x.dtype))
    scale = 1.0 if passes_on else 1 / (1 - share)
    unknown = (x.detach() == 0) & (not passes_on)
    if x.requires_grad:
        x.register_hook(lambda gradient: torch.where(unknown, torch.nan, gradient))
    return x * torch.where((recorded != 0) | passes_on, scale, 0.0).to(x.dtype)


def tensor_of(values: Array, dtype: torch.dtype) -> torch.Tensor:
    """Return an array as a tensor: of this precision, or of its own kind where it holds no fractions."""
    made = torch.from_numpy(values.copy())
    return made.to(dtype) if made.is_floating_point() else made
