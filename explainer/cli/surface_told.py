"""What the command line says of a surface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explainer.cli import speech

if TYPE_CHECKING:
    from explainer.surface import Surface, Walk


def summary(surface: Surface) -> dict[str, Any]:
    """Return what a surface holds, in JSON's types."""
    import numpy as np

    finite = np.where(np.isfinite(surface.losses), surface.losses, np.inf)
    row, column = divmod(int(finite.argmin()), finite.shape[1])
    return {
        "plane": surface.plane,
        "points": {"u": len(surface.u), "v": len(surface.v), "evaluated": int(surface.evaluated.sum())},
        "u": [float(surface.u[0]), float(surface.u[-1])],
        "v": [float(surface.v[0]), float(surface.v[-1])],
        "tolerance": surface.tolerance,
        "worst": surface.worst,
        "data": surface.data,
        "batch_norm": surface.batch_norm,
        "minimum": {"loss": float(finite[row, column]), "u": float(surface.u[column]), "v": float(surface.v[row])},
        "maximum": float(np.max(surface.losses[np.isfinite(surface.losses)], initial=-np.inf)),
        "not_finite": int((~np.isfinite(surface.losses)).sum()),
        "metrics": sorted(surface.metrics),
        "walks": {name: _of_walk(walk) for name, walk in surface.walks.items()},
        "notes": {name: value for name, value in surface.notes.items() if name != "made_of"},
    }


def _of_walk(walk: Walk) -> dict[str, Any]:
    import numpy as np

    gap = np.where(np.isfinite(walk.gap), np.abs(walk.gap), 0.0)
    worst = int(gap.argmax())
    return {
        "steps": len(walk),
        "captured": walk.captured,
        "largest_gap": {"step": int(walk.steps[worst]), "gap": float(walk.gap[worst])},
        "true_loss": [float(walk.true_losses[0]), float(walk.true_losses[-1])],
        "farthest_off_plane": float(walk.off_plane.max()),
    }


def show(about: dict[str, Any]) -> None:
    """Print what a surface holds, and what computing it took."""
    points, speed = about["points"], about["points_per_second"]
    took = f"computed in {duration(about['seconds'])}" if about["computed_now"] else "computed before"
    if speed:
        took += f", {speed:,.3g} points/s"
    speech.say(f"{about['folder']}  ({points['u']}×{points['v']} points, {took})")
    rows = speech.table("", "")
    rows.show_header = False
    rows.add_row("plane", f"{about['plane']}, u {_ends(about['u'])}, v {_ends(about['v'])}")
    rows.add_row("loss of", f"{about['data']}; batch norm: {about['batch_norm']}")
    low = about["minimum"]
    rows.add_row("lowest", f"{low['loss']:.4g} at ({low['u']:.3g}, {low['v']:.3g}); highest {about['maximum']:.4g}")
    if about["not_finite"]:
        rows.add_row("not finite", f"{about['not_finite']:,} points")
    if about["tolerance"] is not None:
        rows.add_row(
            "evaluated",
            f"{points['evaluated']:,} points, the others interpolated; largest relative error at points held out: "
            f"{about['worst']:.2%} (allowed {about['tolerance']:.2%})",
        )
    for name, walk in about["walks"].items():
        first, last = walk["true_loss"]
        gap = walk["largest_gap"]
        rows.add_row(
            name,
            f"{walk['steps']:,} steps, loss {first:.3g} → {last:.3g}; {walk['captured']:.1%} of it lies in the plane, "
            f"whose loss differs by up to {gap['gap']:+.3g} (step {gap['step']:,})",
        )
    speech.console().print(rows)


def _ends(ends: list[float]) -> str:
    return f"{ends[0]:.3g} to {ends[1]:.3g}"


def duration(seconds: float) -> str:
    """Write a duration for the eye: 0.8 s, 12 s, 3:05 min, 2:10 h."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{seconds:02d} min"
    return f"{minutes // 60:,}:{minutes % 60:02d} h"
