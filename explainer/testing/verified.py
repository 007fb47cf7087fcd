"""The checks of `explainer.verify`, as assertions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from explainer.errors import VerifyError
from explainer.testing.complaint import complaint

if TYPE_CHECKING:
    from torch import nn

    from explainer.trace import Trace
    from explainer.verify import Report


def assert_captures_match(
    model: nn.Module,
    criterion: Callable[..., Any],
    batch: tuple[Any, Any],
    *,
    layers: str | Iterable[str] | None = None,
) -> Report:
    """Assert that what is recorded of a training step is what autograd computes, bit by bit, at every layer.

    The step runs three times: bare, recorded, and with zero probes added to every output, which are another way to the
    same gradients. The model is left as it was. That a layer's own backward is *right* is another question:
    `explainer.verify.finite_differences` answers it.

    Args:
        model: In the mode in which it is to be judged, such as `model.train()`.
        criterion: A loss module, or any `(output, targets) → loss`.
        batch: (inputs, targets).
        layers: Names or globs; all when omitted.

    Returns:
        The report, which prints as a table.

    Raises:
        AssertionError: Something differs, or nothing could be compared; layer, step and both numbers are named.
        RecordingError: The arguments are not what they can be.
    """
    __tracebackhide__ = True
    from explainer import verify

    try:
        return verify.captures(model, criterion, batch, layers=layers)
    except VerifyError as error:
        raise AssertionError(_tell(error)) from None  # the error says no more than its report


def assert_chain_rule(trace: Trace, *, step: int | None = None, tolerance: float | None = None) -> Report:
    """Assert that each recorded ∂loss/∂activation follows from the next one by the operation's own derivative.

    Args:
        step: A recorded step, a negative one counted from the last; some, over the whole run, when None.
        tolerance: What `explainer.verify.chain_rule` allows when None.

    Returns:
        The report, which prints as a table, and names what could not be recomputed.

    Raises:
        AssertionError: A gradient differs, or none could be recomputed; layer, step and both numbers are named.
    """
    __tracebackhide__ = True
    from explainer import verify

    try:
        return verify.chain_rule(trace, step=step, tolerance=tolerance)
    except VerifyError as error:
        raise AssertionError(_tell(error)) from None  # the error says no more than its report


def assert_updates_match(trace: Trace) -> Report:
    """Assert that each recorded update is what the optimizer's rule makes of the recorded gradient.

    For torch's own optimizers; of another one, hold `trace.updates` against your own formula of
    `trace.parameter_gradients`.

    Returns:
        The report, which prints as a table.

    Raises:
        AssertionError: An update differs, or in some step none could be judged; parameter, step and both numbers are
            named, or the reason.
    """
    __tracebackhide__ = True
    from explainer import verify

    try:
        report = verify.updates(trace)
    except VerifyError as error:
        raise AssertionError(_tell(error)) from None  # the error says no more than its report
    if unjudged := _steps_without_rule(trace, report):
        raise AssertionError(unjudged)
    return report


def _steps_without_rule(trace: Trace, report: Report) -> str:
    """Say in which steps no update was held against the optimizer's rule, and why."""
    rows = [row for row in report.rows if "rule" in row.what]
    judged = {row.step for row in rows if row.state != "cannot"}
    left = [step for step in trace.steps.tolist() if step not in judged]
    if not left:
        return ""
    reasons = dict.fromkeys(row.reason for row in rows if row.state == "cannot" and row.name == "update")
    sentence = f"the updates of {len(left)} of {len(trace)} steps could not be judged, first of step {left[0]}"
    look = "the reason; or whether something else than the optimizer changes the weights between backward and the step"
    return complaint(f"{sentence}: {'; '.join(reasons)}", look)


def _tell(error: VerifyError) -> str:
    """Put the table under the sentence that counts."""
    return str(error) if error.report is None else f"{error}\n\n{error.report}"
