"""Running scenes: each film in a process of its own, several at once, collected under plain names.

A scene is a class in a file that plain `manim` runs as well. What manim writes on its way lies in a hidden folder
beside the film, which is gone afterwards.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from explainer.errors import ExplainerError, MissingDependency, unknown
from explainer.theme import THEMES

_TOLD = ("lesson", "surfaces", "compares")  # what a scene says of itself, in literals
FORMATS = ("mp4", "gif", "webm", "mov")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # a film computes little: cores are for films


@dataclass(frozen=True)
class Quality:
    """How large and how smooth a film is."""

    width: int  # pixels
    height: int
    rate: int  # frames a second
    says: str

    def __str__(self) -> str:
        return f"{self.width}×{self.height}, {self.rate} frames a second"


QUALITIES = {
    "draft": Quality(854, 480, 15, "to see at once what one gets; the encoder hurries"),
    "low": Quality(854, 480, 30, "small and smooth, for a message"),
    "medium": Quality(1280, 720, 30, "for a web page"),
    "high": Quality(1920, 1080, 60, "for the lecture hall"),
    "4k": Quality(3840, 2160, 60, "for a wall of screens"),
}


@dataclass(frozen=True)
class SceneFile:
    """A scene that can be rendered.

    Attributes:
        says: The first sentence of its docstring.
        lesson: The run that it shows when it is given none; empty where it has none of its own.
        surfaces: The surfaces that it draws, each as `lesson_surface` takes it.
        compares: Whether it shows all runs of its lesson.
    """

    name: str
    file: Path
    says: str = ""
    lesson: str = ""
    surfaces: tuple[dict[str, Any], ...] = ()
    compares: bool = False


@dataclass(frozen=True)
class Settings:
    """How films are made.

    Attributes:
        trace: The folder of the trace to show; None for the scene's own lesson.
        theme: "dark" or "light".
        surface: The folder of the surface to show; None for the lesson's.

    Raises:
        ExplainerError: There is no such quality, format or theme, or the format cannot be transparent.
    """

    quality: str = "draft"
    format: str = "mp4"
    transparent: bool = False
    trace: Path | None = None
    theme: str = "dark"
    surface: Path | None = None

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise ExplainerError(unknown("quality", self.quality, QUALITIES))
        if self.format not in FORMATS:
            raise ExplainerError(unknown("format", self.format, FORMATS))
        if self.theme not in THEMES:
            raise ExplainerError(unknown("theme", self.theme, THEMES))
        if self.transparent and self.format == "mp4":
            raise ExplainerError("an MP4 cannot be transparent: choose the format mov or webm")

    def for_manim(self, scene: SceneFile, folder: Path) -> dict[str, Any]:
        """Return manim's settings, with all that it writes below `folder`."""
        quality = QUALITIES[self.quality]
        return {
            "pixel_width": quality.width,
            "pixel_height": quality.height,
            "frame_rate": quality.rate,
            "format": self.format,
            "transparent": self.transparent,
            "media_dir": str(folder),
            "output_file": scene.name,
            "disable_caching": True,  # its hashes take longer than most frames, and miss what updaters change
            "max_inflight_encoders": 4,
            "video_encoder_options": self._encoder(),
            "progress_bar": "none",
            "verbosity": "WARNING",
        }

    def _encoder(self) -> dict[str, str]:
        if self.quality != "draft" or self.transparent:
            return {}
        return {"deadline": "realtime", "cpu-used": "8"} if self.format == "webm" else {"preset": "veryfast"}


@dataclass(frozen=True)
class Film:
    """What became of a scene.

    Attributes:
        path: The film; None where there is none.
        subtitles: Its .srt; None where nothing is said in it.
        seconds: How long the film is.
        took: Seconds that rendering took.
        failure: What went wrong, in a sentence; empty where nothing did.
        kind: The name of the error behind it; empty where it is not one of explainer's own.
        log: What the process wrote, where it failed in an unforeseen way.
    """

    scene: SceneFile
    path: Path | None = None
    subtitles: Path | None = None
    seconds: float = 0.0
    took: float = 0.0
    failure: str = ""
    kind: str = ""
    log: str = ""


Progress = Callable[[SceneFile, float, float], None]  # the scene, the share of it that is done, seconds of film


# ── Finding scenes ───────────────────────────────────────────────────────────────────────────────────────────────


def scenes_folder() -> Path:
    """Return where the lecture's scenes lie: beside the package in a clone, inside it where it was installed."""
    package = Path(__file__).parent
    inside = package / "_scenes"
    return inside if inside.is_dir() else package.parent / "scenes"


def find_scenes(folder: Path | None = None) -> dict[str, SceneFile]:
    """Return the scenes of a folder by name, in the order of their names; reads the files without running them."""
    files = sorted((scenes_folder() if folder is None else folder).glob("*.py"))
    found = [scene for file in files for scene in scenes_of(file)]
    return {scene.name: scene for scene in sorted(found, key=lambda scene: scene.name)}


def scenes_of(file: Path) -> list[SceneFile]:
    """Return the scenes that a file defines: its classes that come from one called "…Scene", or from each other.

    Raises:
        ExplainerError: The file is not there, or is no Python.
    """
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except OSError as error:
        raise ExplainerError(f"{file} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        raise ExplainerError(f"{file} is no Python that could be run: {error}") from error
    found: dict[str, SceneFile] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases]
            if any(base.endswith("Scene") or base in found for base in bases):
                says = (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")
                parent = next((found[base] for base in bases if base in found), SceneFile("", file))
                told = {each: _literal(node, each, getattr(parent, each)) for each in _TOLD}
                found[node.name] = SceneFile(node.name, file, says, **told)
    return [scene for scene in found.values() if not scene.name.startswith("_")]


def _literal(node: ast.ClassDef, name: str, default: Any) -> Any:
    """Return what a class says of itself in a literal; the default where it says nothing, or computes it."""
    for line in node.body:
        named = (
            line.targets if isinstance(line, ast.Assign) else [line.target] if isinstance(line, ast.AnnAssign) else []
        )
        if any(ast.unparse(target) == name for target in named):
            try:
                return ast.literal_eval(line.value)  # type: ignore[attr-defined]
            except (ValueError, TypeError):
                return default
    return default


def choose(names: Iterable[str]) -> list[SceneFile]:
    """Return scenes by name, each once: one of the lecture's ("ChainRule"), or of a file ("film.py:Mine", "film.py").

    Raises:
        ExplainerError: There is no such scene or file; the nearest is named.
    """
    known = find_scenes()
    chosen: dict[str, SceneFile] = {}
    for name in names:
        file, colon, wanted = name.rpartition(":") if ".py:" in name else (name, "", "")
        if file.endswith(".py"):
            there = {scene.name: scene for scene in scenes_of(Path(file))}
            if colon and wanted not in there:
                raise ExplainerError(f"{file}: {unknown('scene', wanted, there)}")
            if not there:
                raise ExplainerError(f"{file} defines no scene: a class that comes from manim's Scene or a TraceScene")
            found = [there[wanted]] if colon else list(there.values())
        elif name in known:
            found = [known[name]]
        else:
            raise ExplainerError(unknown("scene", name, known))
        for scene in found:
            other = chosen.setdefault(scene.name, scene)
            if other.file != scene.file:
                raise ExplainerError(
                    f"{other.file} and {scene.file} both define {scene.name}: render one after the other"
                )
    return list(chosen.values())


# ── Rendering ────────────────────────────────────────────────────────────────────────────────────────────────────


def check_manim() -> None:
    """Make sure that what films need is installed.

    Raises:
        MissingDependency: It is not.
    """
    for package in ("manim", "cairo", "manimpango", "typst"):
        if find_spec(package) is None:
            raise MissingDependency(package, "a film", "films")


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def render(
    scenes: Sequence[SceneFile],
    output: Path,
    settings: Settings | None = None,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    done: Callable[[Film], None] | None = None,
) -> list[Film]:
    """Render scenes into a folder, several at once; a film that fails does not stop the others.

    Args:
        output: The folder that gets `NAME.mp4` and `NAME.srt`; made if it is not there.
        jobs: How many at once; as many as there are processors when omitted.
        progress: Called from other threads.
        done: Called with each film when it is finished.

    Returns:
        What became of each scene, in their order.

    Raises:
        MissingDependency: manim is not installed.
        ExplainerError: The folder cannot be written.
    """
    check_manim()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExplainerError(f"{output} cannot be made: {error.strerror}") from error
    crew = Crew(output, settings or Settings(), progress or (lambda scene, share, seconds: None))
    with ThreadPoolExecutor(max_workers=min(jobs or cores(), len(scenes)) or 1) as pool:
        futures = {pool.submit(crew.film, scene): scene for scene in scenes}
        try:
            for future in as_completed(futures):
                if done is not None:
                    done(future.result())
        except BaseException:  # Ctrl-C too: no film goes on that nobody waits for
            crew.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]


@dataclass
class Crew:
    """Makes films in processes of their own, and can stop them all."""

    output: Path
    settings: Settings
    progress: Progress
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _stopped: bool = False
    _lock: Lock = field(default_factory=Lock)

    def film(self, scene: SceneFile) -> Film:
        """Render one scene."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory(
            prefix=f".{scene.name}.", dir=self.output, ignore_cleanup_errors=True
        ) as folder:
            told, log, code = self._run(scene, Path(folder))
            took = time.monotonic() - started
            if "film" in told and code == 0:
                path = self._collect(Path(told["film"]), scene.name)
                (self.output / f"{scene.name}.srt").unlink(missing_ok=True)  # of an earlier film
                subtitles = self._collect(Path(told["subtitles"]), scene.name) if told["subtitles"] else None
                return Film(scene, path, subtitles, float(told["seconds"]), took)
        if "failure" in told:
            return Film(scene, took=took, failure=told["says"], kind=told["failure"])
        ending = f"signal {-code}: was there too little memory?" if code < 0 else f"exit code {code}"
        return Film(scene, took=took, failure=f"its process ended with {ending}", log=log)

    def _run(self, scene: SceneFile, folder: Path) -> tuple[dict[str, Any], str, int]:
        """Let a process render a scene; returns the last that it told, what it wrote, and its exit code."""
        order = {
            "file": str(scene.file.absolute()),
            "scene": scene.name,
            "settings": self.settings.for_manim(scene, folder),
        }
        command = [sys.executable, "-P", "-m", "explainer.filming", json.dumps(order)]
        told: dict[str, Any] = {}
        with open(folder / "log.txt", "w+", encoding="utf-8", errors="replace") as log:
            process = self._start(command, log)
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    told = json.loads(line)
                    if "share" in told:
                        self.progress(scene, float(told["share"]), float(told["seconds"]))
                code = process.wait()
            finally:
                self._end(process)
            log.seek(0)
            return told, log.read(), code

    def _start(self, command: list[str], log: Any) -> subprocess.Popen[str]:
        environment = {**dict.fromkeys(THREADS, "1"), **os.environ, "EXPLAINER_THEME": self.settings.theme}
        for name, folder in (("EXPLAINER_TRACE", self.settings.trace), ("EXPLAINER_SURFACE", self.settings.surface)):
            if folder is not None:
                environment[name] = str(folder.absolute())
            else:
                environment.pop(name, None)
        with self._lock:
            if self._stopped:
                raise KeyboardInterrupt
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
            self._running.add(process)
        return process

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        with self._lock:
            self._running.discard(process)

    def stop(self) -> None:
        """End every film that is being made; none begins any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    def _collect(self, made: Path, name: str) -> Path:
        path = self.output / f"{name}{made.suffix}"
        os.replace(made, path)
        return path
