"""What runs in a film's own process: manim renders one scene, and tells on stdout, line by line, how far it is.

    python -m explainer.filming '{"file": "scenes/chain_rule.py", "scene": "ChainRule", "settings": {…}}'

Each line is JSON: {"seconds": of film so far, "share": of the script that is done}, and at the end {"film": path,
"subtitles": path or null, "seconds": …} or {"failure": kind of error, "says": its sentence}. What manim and the scene
write goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

from explainer.errors import ExplainerError

_OFTEN = 0.1  # seconds between two lines

Tell = Callable[..., None]


def main(order: str) -> int:
    """Render the scene of an order in JSON; returns the exit code."""
    tell = _speaker()
    try:
        tell(**film(**json.loads(order), tell=tell))
    except ExplainerError as error:
        tell(failure=type(error).__name__, says=str(error))
        return 2
    return 0


def film(file: str, scene: str, settings: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Render one scene, and say what was made.

    Args:
        settings: Of manim, as `manim.tempconfig` takes them.
    """
    try:
        from manim import tempconfig
        from manim.utils.module_ops import get_module
    except ImportError as error:
        tell(failure="MissingDependency", says=f"manim does not load: {error}")
        raise SystemExit(3) from error
    with tempconfig(settings):
        made = getattr(get_module(Path(file)), scene)()
        _follow(made, tell)
        made.render()
        writer = made.renderer.file_writer
        subtitles = writer.output_plan.subcaption_file
        return {
            "film": str(writer.output_plan.primary_artifact),
            "subtitles": str(subtitles) if subtitles and subtitles.is_file() else None,
            "seconds": float(made.renderer.time),
        }


def _speaker() -> Tell:
    """Return how to tell something, and send all that is printed to stderr instead."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**news: Any) -> None:
        out.write(json.dumps(news) + "\n")
        out.flush()

    return tell


def _follow(scene: Any, tell: Tell) -> None:
    """Tell now and then how many seconds of film there are, and how much of `construct` is behind."""
    renderer, script = scene.renderer, getattr(type(scene).construct, "__code__", None)
    add_frame, told, share = renderer.add_frame, 0.0, 0.0

    def add_and_tell(*args: Any, **kwargs: Any) -> None:
        nonlocal told, share
        add_frame(*args, **kwargs)
        now = time.monotonic()
        if now - told > _OFTEN:
            told, share = now, max(share, _share_of(script))
            tell(seconds=float(renderer.time), share=share)

    renderer.add_frame = add_and_tell


def _share_of(script: CodeType | None) -> float:
    """Return which share of a function's lines is behind, where it is being executed now."""
    frame = sys._getframe(1)
    while frame.f_code is not script:
        if frame.f_back is None:
            return 0.0
        frame = frame.f_back
    last = max(line for *_, line in frame.f_code.co_lines() if line)
    return (frame.f_lineno - frame.f_code.co_firstlineno) / max(1, last + 1 - frame.f_code.co_firstlineno)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
