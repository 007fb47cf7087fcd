"""What a page shows of a run, view by view; a view that the trace has nothing for says what to record instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from explainer.errors import TraceError
from explainer.page.answers import answers
from explainer.page.arrays import packed
from explainer.page.curves import curves, verdict
from explainer.page.gradients import gradients
from explainer.page.network import network
from explainer.page.products import products
from explainer.page.relief import relief
from explainer.page.shown import Shown, every

if TYPE_CHECKING:
    from explainer.surface import Surface
    from explainer.trace import Trace

VIEWS: dict[str, Callable[[Trace, Shown], dict[str, Any]]] = {
    "loss": curves,
    "network": network,
    "flow": gradients,
    "digit": answers,
    "chain": products,
}
SAMPLED = 40  # steps that tell how many bytes all of them need


def lesson(traces: Mapping[str, Trace], surface: Surface | None, most_bytes: int) -> tuple[dict[str, Any], str]:
    """Return what the page shows of some runs, in JSON's types, and the blob of its arrays.

    Where all recorded steps would need more than `most_bytes`, every n-th is shown, and the page says so.

    Raises:
        TraceError: A trace holds no step.
    """
    stride = _stride(traces, most_bytes)
    while True:
        shown = {name: every(trace, stride) for name, trace in traces.items()}
        tree, blob = packed(_tree(traces, shown, surface))
        longest = max(map(len, shown.values()))
        if len(blob) <= most_bytes or longest <= SAMPLED:
            return tree, blob
        stride = max(stride + 1, -(-stride * len(blob) // most_bytes))


def _stride(traces: Mapping[str, Trace], most_bytes: int) -> int:
    """Return every how many-th step there is room for, judged by a few steps of long runs."""
    longest = max(map(len, traces.values()), default=0)
    if longest <= 10 * SAMPLED:
        return 1
    shown = {name: every(trace, max(1, len(trace) // SAMPLED)) for name, trace in traces.items()}
    # a third: the chain rule has room of its own for few steps, and numbers deflate better the more there are of them
    _, blob = packed(_tree(traces, shown, None))
    needed = len(blob) * longest / max(map(len, shown.values()))
    return max(1, round(needed / (3 * most_bytes)))


def _tree(traces: Mapping[str, Trace], shown: Mapping[str, Shown], surface: Surface | None) -> dict[str, Any]:
    return {
        "runs": [
            {**_run(name, trace, shown[name]), "verdict": verdict(trace) if len(traces) > 1 else None}
            for name, trace in traces.items()
        ],
        "surface": {"missing": "", "shared": _alike(traces)} if surface is None else relief(surface, shown),
    }


def _alike(traces: Mapping[str, Trace]) -> bool:
    """Whether all runs are of the same model: only then is there one surface for all of them."""
    described = [
        {name: (each.type, dict(each.settings), dict(each.parameters)) for name, each in trace.model.layers.items()}
        for trace in traces.values()
    ]
    return all(each == described[0] for each in described)


def _run(name: str, trace: Trace, shown: Shown) -> dict[str, Any]:
    return {
        "name": name,
        "steps": shown.steps,
        "stride": shown.stride,
        "recorded": shown.recorded,
        "model": _model(trace),
        **{view: or_why_not(read, trace, shown) for view, read in VIEWS.items()},
    }


def or_why_not(read: Callable[[Trace, Shown], dict[str, Any]], trace: Trace, shown: Shown) -> dict[str, Any]:
    """Return what a view shows, or why it has nothing to show."""
    try:
        return read(trace, shown)
    except TraceError as error:
        said = str(error)  # where the trace lies is nobody's business
        return {"missing": said if trace.folder is None else said.replace(str(trace.folder), "the trace")}


def _model(trace: Trace) -> dict[str, Any]:
    criterion = trace.model.criterion
    return {
        "type": trace.model.type,
        "parameters": trace.model.parameter_count,
        "criterion": criterion.type if criterion else "",
        "optimizer": trace.model.optimizer or "",
        "data": str(trace.notes.get("data") or ""),
        "lesson": str(trace.notes.get("lesson") or ""),
        "finished": trace.finished,
        "layers": len(trace.layers),
    }
