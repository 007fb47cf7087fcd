"""Is what was recorded true? Four questions, each answered with a report that prints as a table.

verify.captures(model, criterion, batch)            recorded activations and gradients against zero probes, bitwise
verify.chain_rule(trace)                            each gradient from the next one, by the operation's own derivative
verify.updates(trace)                               each update against the weights around it, and the optimizer's rule
verify.finite_differences(model, criterion, batch)  recorded parameter gradients against differences of the loss

Each raises a `VerifyError` that names the first place where numbers differ; with `raises=False` the report is returned
whatever it says.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from explainer.trace import Trace
from explainer.verify.report import Report, Row

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Report", "Row", "captures", "chain_rule", "finite_differences", "updates"]


def captures(
    model: "nn.Module",
    criterion: Callable[..., Any],
    batch: tuple[Any, Any],
    *,
    layers: str | Iterable[str] | None = None,
    raises: bool = True,
) -> Report:
    """Compare what `explainer.record` records of one training step with another way to the same numbers, bit by bit.

    The step runs three times from the same random numbers: bare, recorded, and with a leaf of zeros added to every
    layer's output, whose `.grad` is that layer's gradient. The model is left as it was, mode and gradients included.

    Args:
        model: In the mode in which it is to be judged, such as `model.train()`.
        criterion: A loss module, or any `(output, targets) → loss`.
        batch: (inputs, targets). A tuple of inputs is passed as several arguments, a mapping as named ones. Where the
            targets are None, `criterion(output)` is called.
        layers: Names or globs of the layers to judge; all when omitted.
        raises: Whether to raise where something differs.

    Raises:
        VerifyError: Something differs, or nothing could be judged.
        RecordingError: The arguments are not what they can be, or the recording failed.
    """
    from explainer.verify.captured import verify_captures
    from explainer.verify.untouched import read_trial

    options = {} if layers is None else {"layers": layers}
    report = verify_captures(read_trial(model, criterion, batch), **options)
    return report.check() if raises else report


def updates(trace: Trace, *, raises: bool = True) -> Report:
    """Check that each recorded update is what lies between two recorded weights, and what the optimizer's rule makes.

    The first is bitwise, between steps that follow each other, unless something else moved the weights after the step.
    For the second the run's optimizer is built again from
    its recorded settings and fed with the recorded weights, gradients and learning rates. Where it remembers earlier
    steps (momentum, Adam), that needs every step from the first. Usually the same bits come out; allowed are eight
    roundings of the largest weight, since another machine may add in another order.

    Raises:
        VerifyError: An update differs, or none could be judged.
    """
    from explainer.verify.replay import verify_updates

    report = verify_updates(trace)
    return report.check() if raises else report


def chain_rule(
    trace: Trace, *, step: int | Iterable[int] | None = None, tolerance: float | None = None, raises: bool = True
) -> Report:
    """Work out each recorded ∂loss/∂activation from the next one, by the operation's own derivative, without the model.

    From a layer's recorded input, parameters and settings its output is worked out again, and from the recorded
    gradient at its output what it sends back to its input. Where several layers read one output, what they send back is
    added up. The loss is worked out from its recorded input and targets, parameter gradients where the whole batch was
    kept. What is no module (a sum with a shortcut, a reshape) is guessed, and believed only where it makes what was
    recorded forwards; else the report names what could not be judged, and why. A term of the loss that no module
    computes (a penalty on an activation) is nothing a trace knows of: the gradient that it adds to differs.

    How far numbers may be apart: everything is computed in float64, and once more in the run's own precision; and
    backward from gradients shaken by ε, which shows how much of a sum cancels. The largest difference is how much this
    operation rounds here. Allowed is five times that, and five units in the last place of the largest number in the
    tensor: `5 · (max |rounded − exact| + ε · max |exact|)`.

    Args:
        step: The recorded step, or several; negative ones count from the last. Five, spread over the run, when omitted.
        tolerance: Allow this share of the largest number in each tensor instead.

    Raises:
        VerifyError: A number differs, or nothing could be judged.
        TraceError: A step was not recorded.
    """
    from explainer.verify.chained import some, verify_chain_rule

    if step is None:
        places = some(trace)
    else:
        places = [trace.index_of(each) for each in ([step] if isinstance(step, int) else step)]
    report = verify_chain_rule(trace, places, tolerance)
    return report.check() if raises else report


def finite_differences(
    model: "nn.Module",
    criterion: Callable[..., Any],
    batch: tuple[Any, Any],
    *,
    count: int = 3,
    seed: int = 0,
    step: float | None = None,
    tolerance: float | None = None,
    raises: bool = True,
) -> Report:
    """Compare recorded parameter gradients with the loss itself, nudged to both sides, on a copy in float64.

    Of each parameter `count` numbers are nudged, half of them those with the largest gradients, and once all of them
    along a random direction. Random numbers (dropout) and buffers are the same at every evaluation. The step is
    ε^(1/3) ≈ 6e-6, where the rounding of the loss (ε·f/h) and the error of the formula (h²·f‴/6) are about as large (W.
    H. Press et al., Numerical Recipes, 5.7). Where steps of h and 2h disagree there is a kink: not judged.

    Args:
        criterion: As for `captures`; it is copied with the model, so it must not hold on to the model itself.
        count: Numbers of each parameter; each costs four evaluations of the loss.
        seed: Chooses the numbers and the direction.
        step: Another h.
        tolerance: Allowed as a share of the parameter's largest gradient; 1e-5 when omitted.

    Raises:
        VerifyError: A gradient differs, or none could be judged.
        RecordingError: The arguments are not what they can be, or the recording failed.
    """
    import numpy as np

    from explainer.verify.central_differences import STEP, TOLERANCE, Nudges, verify_finite_differences
    from explainer.verify.untouched import read_trial

    nudges = Nudges(count, np.random.default_rng(seed), step or STEP, TOLERANCE if tolerance is None else tolerance)
    report = verify_finite_differences(read_trial(model, criterion, batch), nudges)
    return report.check() if raises else report
