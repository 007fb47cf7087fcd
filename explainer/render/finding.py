"""Finding scenes: a scene is a class in a file that plain `manim` runs as well. Files are read, never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explainer.errors import ExplainerError, unknown

_TOLD = ("lesson", "surfaces", "compares")  # what a scene says of itself, in literals


@dataclass(frozen=True)
class SceneFile:
    """A scene that can be rendered.

    Attributes:
        says: The first sentence of its docstring.
        lesson: The run that it shows when it is given none; empty where it has none of its own.
        surfaces: The surfaces that it draws, each as `lesson_surface` takes it.
        compares: Whether it shows all runs of its lesson.
        card: What its title card says above the title, such as "6 of 11"; empty where it has none.
    """

    name: str
    file: Path
    says: str = ""
    lesson: str = ""
    surfaces: tuple[dict[str, Any], ...] = ()
    compares: bool = False
    card: str = ""

    @property
    def title(self) -> str:
        """Its name as words: "Chain rule" of ChainRule."""
        words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", self.name) or [self.name]
        return " ".join([words[0], *(word if word.isupper() else word.lower() for word in words[1:])])


def scenes_folder() -> Path:
    """Return where the lecture's scenes lie: beside the package in a clone, inside it where it was installed."""
    package = Path(__file__).parent.parent
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
