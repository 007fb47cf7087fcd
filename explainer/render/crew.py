"""Making films: each in a process of its own, several at once, collected under plain names.

What manim writes on its way lies in a hidden folder beside the film, which is gone afterwards. A film that was made
before, of what is still the same, is left as it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from explainer.errors import ExplainerError, MissingDependency
from explainer.render.finding import SceneFile
from explainer.render.made_before import find_made, keep_made
from explainer.render.settings import QUALITIES, Settings
from explainer.subtitles import read_sentences, read_srt

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # a film computes little: cores are for films


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
        unchanged: Whether it was made before, and nothing that it shows has changed since.
        beats: Its beats' names, each with the second when it begins.
        memory: The most bytes that its process held; 0 where nobody can tell.
    """

    scene: SceneFile
    path: Path | None = None
    subtitles: Path | None = None
    seconds: float = 0.0
    took: float = 0.0
    failure: str = ""
    kind: str = ""
    log: str = ""
    unchanged: bool = False
    beats: tuple[tuple[str, float], ...] = ()
    memory: int = 0


Progress = Callable[[SceneFile, float, float], None]  # the scene, the share of it that is done, seconds of film


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
    again: bool = False,
    progress: Progress | None = None,
    done: Callable[[Film], None] | None = None,
) -> list[Film]:
    """Render scenes into a folder, several at once; a film that fails does not stop the others.

    Args:
        output: The folder that gets `NAME.mp4` and `NAME.srt`; made if it is not there.
        jobs: How many at once; as many as there are processors when omitted.
        again: Make films anew that were made before.
        progress: Called from other threads.
        done: Called with each film when it is finished.

    Returns:
        What became of each scene, in their order.

    Raises:
        MissingDependency: manim is not installed.
        ExplainerError: The folder cannot be written, or a film's captions are not there, no .srt, or not as many as
            the film says.
    """
    check_manim()
    crew = Crew(output, settings or Settings(), progress or (lambda scene, share, seconds: None), again)
    for scene in scenes:
        crew.check_captions(scene)  # what is wrong with them is said before anything is made
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExplainerError(f"{output} cannot be made: {error.strerror}") from error
    with ThreadPoolExecutor(max_workers=min(jobs or cores(), len(scenes)) or 1) as pool:
        # Films of surfaces take longest: begun last, one of them would go on alone.
        first = sorted(range(len(scenes)), key=lambda place: not scenes[place].surfaces)
        futures = {place: pool.submit(crew.film, scenes[place]) for place in first}
        try:
            for future in as_completed(futures.values()):
                if done is not None:
                    done(future.result())
        except BaseException:  # Ctrl-C too: no film goes on that nobody waits for
            crew.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [futures[place].result() for place in range(len(scenes))]


@dataclass
class Crew:
    """Makes films in processes of their own, and can stop them all."""

    output: Path
    settings: Settings
    progress: Progress
    again: bool = False
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _stopped: bool = False
    _lock: Lock = field(default_factory=Lock)

    def check_captions(self, scene: SceneFile) -> None:
        """Read the captions that a film is to have; where it was made before with its own, count those too.

        Raises:
            ExplainerError: They are not there, cannot be read, or are more or fewer than the film's own.
        """
        chosen = self.settings.captions_of(scene)
        if chosen in ("on", "off"):
            return
        many, path, order = len(read_sentences(Path(chosen))), self._path(scene), self._order(scene)
        for own in ("on", "off"):
            made = find_made(path, {**order, "environment": {**order["environment"], "EXPLAINER_CAPTIONS": own}})
            says = len(read_srt(path.with_suffix(".srt"))) if made and made["subtitles"] else many
            if says != many:
                raise ExplainerError(
                    f"{chosen} has {many} sentences, and {scene.name} says {says}: translate "
                    f"{path.with_suffix('.srt')}, all of it"
                )

    def film(self, scene: SceneFile) -> Film:
        """Render one scene, unless it was made before and is still true."""
        started = time.monotonic()
        order, path = self._order(scene), self._path(scene)
        made = None if self.again else find_made(path, order)
        if made is not None:
            return self._film(scene, path, made, time.monotonic() - started, unchanged=True)
        with self._workshop(scene) as folder:
            told, log, code = self._run(scene, Path(folder), order)
            took = time.monotonic() - started
            if "film" in told and code == 0:
                path = self._collect(Path(told["film"]), scene.name)
                (self.output / f"{scene.name}.srt").unlink(missing_ok=True)  # of an earlier film
                if told["subtitles"]:
                    self._collect(Path(told["subtitles"]), scene.name)
                keep_made(path, order, told)
                return self._film(scene, path, told, took)
        if "failure" in told:
            return Film(scene, took=took, failure=told["says"], kind=told["failure"])
        ending = f"signal {-code}: was there too little memory?" if code < 0 else f"exit code {code}"
        return Film(scene, took=took, failure=f"its process ended with {ending}", log=log)

    def _path(self, scene: SceneFile) -> Path:
        return self.output / f"{scene.name}.{self.settings.format}"

    def _workshop(self, scene: SceneFile) -> tempfile.TemporaryDirectory[str]:
        """Return the hidden folder in which a film is made, gone once it is left."""
        try:
            return tempfile.TemporaryDirectory(prefix=f".{scene.name}.", dir=self.output, ignore_cleanup_errors=True)
        except OSError as error:
            raise ExplainerError(f"{self.output} cannot be written: {error.strerror}; choose another -o") from error

    def _film(self, scene: SceneFile, path: Path, told: dict[str, Any], took: float, unchanged: bool = False) -> Film:
        subtitles = path.with_suffix(".srt") if told["subtitles"] else None
        beats = tuple((str(name), float(second)) for name, second in told["beats"])
        made = Film(scene, path, subtitles, float(told["seconds"]), took, beats=beats, memory=int(told["memory"]))
        return replace(made, unchanged=unchanged)

    def _order(self, scene: SceneFile) -> dict[str, Any]:
        """Return what a film's process is told, all that decides what comes out, but for the files it reads."""
        environment = {name: value for name, value in os.environ.items() if name.startswith("EXPLAINER_")}
        environment["EXPLAINER_THEME"] = self.settings.theme
        environment["EXPLAINER_CAPTIONS"] = self.settings.captions_of(scene)
        title = {"title": scene.title, "says": scene.says, "card": scene.card}
        environment["EXPLAINER_TITLE"] = json.dumps(title, ensure_ascii=False)
        for name, folder in (("EXPLAINER_TRACE", self.settings.trace), ("EXPLAINER_SURFACE", self.settings.surface)):
            environment.pop(name, None)
            if folder is not None:
                environment[name] = str(folder.absolute())
        return {
            "file": str(scene.file.absolute()),
            "scene": scene.name,
            "rate": QUALITIES[self.settings.quality].rate,
            "settings": self.settings.for_manim(scene, Path()),
            "environment": environment,
            "folder": str(Path.cwd()),  # lessons are kept in `runs` below it
        }

    def _run(self, scene: SceneFile, folder: Path, order: dict[str, Any]) -> tuple[dict[str, Any], str, int]:
        """Let a process render a scene; returns the last that it told, what it wrote, and its exit code."""
        own = {"file", "scene", "rate"}
        asked = {**{key: order[key] for key in own}, "settings": {**order["settings"], "media_dir": str(folder)}}
        command = [sys.executable, "-P", "-m", "explainer.filming", json.dumps(asked)]
        told: dict[str, Any] = {}
        with open(folder / "log.txt", "w+", encoding="utf-8", errors="replace") as log:
            process = self._start(command, order["environment"], log)
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

    def _start(self, command: list[str], told: dict[str, str], log: Any) -> subprocess.Popen[str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("EXPLAINER_")}
        environment = {**dict.fromkeys(THREADS, "1"), **others, **told}
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
