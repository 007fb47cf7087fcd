"""What runs in a film's own process: manim renders one scene, and tells on stdout, line by line, how far it is.

    python -m explainer.filming '{"file": "scenes/chain_rule.py", "scene": "ChainRule", "rate": 15, "settings": {…}}'

Each line is JSON: {"seconds": of film so far, "share": of the script that is done}, and at the end {"film": path,
"subtitles": path or null, "seconds": …, "beats": [[name, second], …], "read": the files that it depends on,
"memory": the most bytes that it held} or {"failure": kind of error, "says": its sentence}. What manim and the scene
write goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import CodeType
from typing import Any

from explainer.errors import ExplainerError

_OFTEN = 0.1  # seconds between two lines
_DATA = (".json", ".safetensors", ".srt")  # of traces, surfaces and captions

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


def film(file: str, scene: str, rate: float, settings: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Render one scene, and say what was made.

    Args:
        rate: Frames a second of the film. Where `settings` draw fewer or more for a second of the scene, the film is
            faster or slower than the scene.
        settings: Of manim, as `manim.tempconfig` takes them.
    """
    opened = _listen()
    try:
        from manim import tempconfig
        from manim.utils.module_ops import get_module
    except ImportError as error:
        tell(failure="MissingDependency", says=f"manim does not load: {error}")
        raise SystemExit(3) from error
    speed = rate / settings["frame_rate"]
    with tempconfig(settings):
        made = getattr(get_module(Path(file)), scene)()
        writer = made.renderer.file_writer
        writer.video_encoder = replace(writer.video_encoder, frame_rate=Fraction(rate))
        _follow(made, tell, speed)
        made.render()
        subtitles = writer.output_plan.subcaption_file
        if subtitles and subtitles.is_file() and speed != 1:
            _hasten(subtitles, speed)
        return {
            "film": str(writer.output_plan.primary_artifact),
            "subtitles": str(subtitles) if subtitles and subtitles.is_file() else None,
            "seconds": float(made.renderer.time) / speed,
            "beats": [(name, second / speed) for name, second in getattr(made, "beats", ())],
            "read": _depended(Path(file), opened),
            "memory": _memory(),
        }


def _speaker() -> Tell:
    """Return how to tell something, and send all that is printed to stderr instead."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**news: Any) -> None:
        out.write(json.dumps(news) + "\n")
        out.flush()

    return tell


def _listen() -> set[str]:
    """Return the data that is opened for reading from now on, which grows meanwhile."""
    opened: set[str] = set()

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            name = os.fspath(arguments[0])
            if isinstance(name, str) and name.endswith(_DATA):
                opened.add(name)

    sys.addaudithook(hear)
    return opened


def _depended(scene: Path, opened: set[str]) -> list[str]:
    """Return the files that a film depends on: its scene, explainer's own that were loaded, and data that was read."""
    package, here = Path(__file__).parent, Path.cwd()
    loaded = [Path(file) for module in [*sys.modules.values()] if (file := getattr(module, "__file__", None))]
    own = {str(path) for path in loaded if package in path.parents or path.parent == scene.parent}
    data = {str(here / each) for each in opened if (here / each).is_file()}
    return sorted({str(scene), *own, *data})


def _memory() -> int:
    """Return the most bytes that this process has held; 0 where nobody can tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as told:  # what `resource` tells may be the parent's, on Linux
            return next(int(line.split()[1]) * 1024 for line in told if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 0


def _hasten(subtitles: Path, speed: float) -> None:
    from explainer.subtitles import moved, read_srt, write_srt

    write_srt(moved(read_srt(subtitles), 0.0, speed), subtitles)


def _follow(scene: Any, tell: Tell, speed: float) -> None:
    """Tell now and then how many seconds of film there are, and how much of `construct` is behind."""
    renderer, script = scene.renderer, getattr(type(scene).construct, "__code__", None)
    add_frame, told, share = renderer.add_frame, 0.0, 0.0

    def add_and_tell(*args: Any, **kwargs: Any) -> None:
        nonlocal told, share
        add_frame(*args, **kwargs)
        now = time.monotonic()
        if now - told > _OFTEN:
            told, share = now, max(share, _share_of(script))
            tell(seconds=float(renderer.time) / speed, share=share)

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
