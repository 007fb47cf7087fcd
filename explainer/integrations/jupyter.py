"""A trace in a notebook: a summary with small pictures, and figures that are drawn again as the run goes on."""

from __future__ import annotations

import base64
import io
import threading
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.errors import ExplainerError, ExplainerWarning, MissingDependency, TraceError
from explainer.trace import Trace, open_trace

if TYPE_CHECKING:
    from explainer.plots import Figure

_SMALL = ("loss", "gradient_flow")  # what a summary shows
_LAYERS = 12  # rows of the summary's table; of more the first and the last
_CSS = "border-collapse:collapse;font-size:0.9em;margin:0.4em 0"
_CELL = "padding:0.1em 0.9em 0.1em 0;text-align:left;vertical-align:top"


def summary(trace: Trace) -> str:
    """Return a trace as HTML: what was recorded of which model, small pictures, and what is missing and why."""
    parts = [f"<div><b>Trace of {escape(trace.model.type)}</b> · {escape(_span(trace))}<br>{escape(_where(trace))}"]
    parts += [f'<div style="display:flex;flex-wrap:wrap;gap:0.5em">{"".join(map(_small(trace), _SMALL))}</div>']
    parts += [_table(trace), _absent(trace), "</div>"]
    return "".join(parts)


def _span(trace: Trace) -> str:
    steps = trace.steps
    if not len(steps):
        return "no recorded step yet"
    said = f"{len(steps):,} recorded step{'s' * (len(steps) > 1)}, {steps[0]:,} to {steps[-1]:,}"
    loss = trace.scalars.get("loss")
    known = np.empty(0) if loss is None else loss[np.isfinite(loss)]
    return f"{said} · loss {known[0]:.4g} → {known[-1]:.4g}" if len(known) else said


def _where(trace: Trace) -> str:
    place = "in memory" if trace.folder is None else str(trace.folder)
    return place if trace.finished else f"{place} · the run goes on, or was ended: trace.refresh() sees new steps"


def _small(trace: Trace) -> Any:
    def draw(name: str) -> str:
        from explainer.plots import FIGURES, describe

        try:
            picture, axes = _drawn(FIGURES[name], trace, dpi=64)
        except ExplainerError as error:
            return f'<div style="max-width:24em;opacity:0.8">{escape(name)}: {escape(str(error))}</div>'
        return f'<img style="max-width:24em;width:100%" alt="{escape(describe(axes))}" src="{_data(picture)}">'

    return draw


def _table(trace: Trace) -> str:
    """Return the layers in forward order, with their types, shapes and how large the last gradient was."""
    shown = list(trace.layers)
    skipped = len(shown) - _LAYERS
    if skipped > 0:
        shown = [*shown[: _LAYERS // 2], "", *shown[-(_LAYERS // 2) :]]
    rows = [_row(trace, layer) if layer else f'<tr><td style="{_CELL}" colspan="4">… {skipped} more</td></tr>'
            for layer in shown]  # fmt: skip
    heads = "".join(f'<th style="{_CELL}">{head}</th>' for head in ("layer", "type", "activation", "‖gradient‖"))
    return f'<table style="{_CSS}"><tr>{heads}</tr>{"".join(rows)}</table>' if rows else ""


def _row(trace: Trace, layer: str) -> str:
    found = trace.model.layers.get(layer) or trace.model.layers.get(layer.partition(":")[0].partition("[")[0])
    shape = "" if found is None or found.output_shape is None else " × ".join(map(str, found.output_shape))
    sizes = trace.statistics.get("gradients", {})
    norms = sizes[layer]["norm"] if layer in sizes else np.empty(0)
    size = f"{norms[-1]:.3g}" if len(norms) and np.isfinite(norms[-1]) else "–"
    cells = (layer, found.type if found else "", shape, size)
    return f"<tr>{''.join(f'<td style={_CELL!r}>{escape(cell)}</td>' for cell in cells)}</tr>"


def _absent(trace: Trace) -> str:
    reasons: dict[str, list[str]] = {}
    for name, reason in trace.missing.items():
        reasons.setdefault(reason, []).append(name)
    if not reasons:
        return ""
    items = [
        f"<li>{escape(', '.join(names[:4]))}{f' and {len(names) - 4} more' if len(names) > 4 else ''}: "
        f"{escape(reason)}</li>"
        for reason, names in reasons.items()
    ]
    return f"<details><summary>missing, and why ({len(trace.missing)})</summary><ul>{''.join(items)}</ul></details>"


# ── Figures that are drawn again ─────────────────────────────────────────────────────────────────────────────────


class Watching:
    """Figures in a notebook's cell that follow a run; `.stop()` ends that, and what was drawn last stays."""

    def __init__(self, trace: Trace | Path, figures: Sequence[Figure], every: float, options: dict[str, Any]) -> None:
        try:
            from IPython.display import HTML, display
        except ImportError as error:
            raise MissingDependency("IPython", "explainer.watch", "notebook") from error
        self._trace, self._figures, self._options = trace, figures, options
        self._html: Any = HTML
        self._ended = threading.Event()
        self._seen = -1
        self._handle = display(HTML("waiting for the first step …"), display_id=True)
        self._thread = threading.Thread(target=self._go_on, args=(every,), name="explainer.watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Draw once more what there is, and end."""
        self._ended.set()
        self._thread.join()

    def _go_on(self, every: float) -> None:
        try:
            while not self._look() and not self._ended.wait(every):
                pass
            self._look()
        except ExplainerError as error:  # a folder that was removed, say: the notebook's own cells go on
            warnings.warn(ExplainerWarning(f"explainer.watch ends: {error}"), stacklevel=1)

    def _look(self) -> bool:
        """Draw again if there are new steps; returns whether the run is finished."""
        if isinstance(self._trace, Path):
            if not (self._trace / "trace.json").exists():
                return False
            self._trace = open_trace(self._trace)
        trace = self._trace.refresh()
        if len(trace) != self._seen and len(trace):
            self._seen = len(trace)
            self._show(trace)
        return trace.finished

    def _show(self, trace: Trace) -> None:
        pictures = []
        for figure in self._figures:
            try:
                picture, _ = _drawn(figure, trace, dpi=96, **self._options)
                pictures.append(f'<img style="max-width:100%" src="{_data(picture)}">')
            except ExplainerError as error:
                pictures.append(f"<div>{escape(figure.name)}: {escape(str(error))}</div>")
        if self._handle is not None:  # without a notebook there is none
            self._handle.update(self._html(f"<div>{escape(_span(trace))}</div>{''.join(pictures)}"))


def watch(trace: Trace | str | Path, *figures: str, every: float = 2.0, theme: str = "light") -> Watching:
    """Show figures in a notebook's cell, and draw them again as the run goes on.

    Works beside a run in another process, and beside one in the same notebook that is recorded into a folder: the
    drawing is done by a thread of its own, and ends by itself when the recording does.

    Args:
        trace: A trace, or the folder of one, which may not have begun yet.
        figures: Names of figures that are drawn of one trace; "loss" and "gradient_flow" when omitted.
        every: Seconds between two looks.

    Returns:
        Something with `.stop()`.

    Raises:
        TraceError: There is no such figure, or it is drawn of something else.
        MissingDependency: IPython is not installed.
    """
    from explainer import plots

    found = [plots.find(name) for name in figures or _SMALL]
    for figure in found:
        if figure.of not in ("trace", "runs"):
            raise TraceError(f"explainer.watch draws figures of a trace, and {figure.name} is drawn of a {figure.of}")
    return Watching(trace if isinstance(trace, Trace) else Path(trace), found, every, {"theme": theme})


def _drawn(figure: Figure, trace: Trace, *, dpi: float, **options: Any) -> tuple[bytes, Any]:
    """Return a figure as a PNG, and its axes; pyplot, which belongs to the notebook's own thread, is left alone."""
    from matplotlib.figure import Figure as Canvas

    from explainer.plots.style import STYLES, layout

    size = STYLES["notebook"]
    canvas = Canvas(figsize=(size.width, size.height), layout=layout())
    axes = figure.draw(trace, ax=canvas.add_subplot(), style="notebook", **{"theme": "light", **options})
    held = io.BytesIO()
    canvas.savefig(held, format="png", dpi=dpi)
    return held.getvalue(), axes


def _data(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
