"""Record a training run, and explain it: every number on screen was recorded, and can be checked.

The public names are bound when they are first used (PEP 562), so that `import explainer` loads no torch, no matplotlib
and no manim.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explainer.errors import ExplainerError as ExplainerError
    from explainer.errors import ExplainerWarning as ExplainerWarning
    from explainer.errors import LessonError as LessonError
    from explainer.errors import MissingDependency as MissingDependency
    from explainer.errors import RecordingError as RecordingError
    from explainer.errors import SurfaceError as SurfaceError
    from explainer.errors import TraceError as TraceError
    from explainer.errors import VerifyError as VerifyError
    from explainer.integrations.jupyter import watch as watch
    from explainer.recorder import Recorder as Recorder
    from explainer.recorder import record as record
    from explainer.sampler import loss_slice as loss_slice
    from explainer.sampler import loss_surface as loss_surface
    from explainer.sampler import surface_sequence as surface_sequence
    from explainer.surface import Slice as Slice
    from explainer.surface import Surface as Surface
    from explainer.surface import SurfaceSequence as SurfaceSequence
    from explainer.surface import open_slice as open_slice
    from explainer.surface import open_surface as open_surface
    from explainer.surface import open_surface_sequence as open_surface_sequence
    from explainer.trace import Trace as Trace
    from explainer.trace import open_trace as open_trace

__version__ = "0.1.0"

_HOMES = {
    "ExplainerError": "explainer.errors",
    "ExplainerWarning": "explainer.errors",
    "LessonError": "explainer.errors",
    "MissingDependency": "explainer.errors",
    "RecordingError": "explainer.errors",
    "SurfaceError": "explainer.errors",
    "TraceError": "explainer.errors",
    "VerifyError": "explainer.errors",
    "Recorder": "explainer.recorder",
    "record": "explainer.recorder",
    "loss_slice": "explainer.sampler",
    "loss_surface": "explainer.sampler",
    "surface_sequence": "explainer.sampler",
    "Slice": "explainer.surface",
    "Surface": "explainer.surface",
    "SurfaceSequence": "explainer.surface",
    "open_slice": "explainer.surface",
    "open_surface": "explainer.surface",
    "open_surface_sequence": "explainer.surface",
    "Trace": "explainer.trace",
    "open_trace": "explainer.trace",
    "watch": "explainer.integrations.jupyter",
}
# as in `explainer.plots.loss(trace)`
_ROOMS = ("chain", "diagnosis", "flow", "lessons", "mobjects", "page", "plots", "testing", "theme", "verify")

__all__ = [*_HOMES, *_ROOMS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _ROOMS:
        value = import_module(f"explainer.{name}")
    else:
        raise AttributeError(f"module 'explainer' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
