"""The house keeps its rules: who imports whom, what loads what, how large a room may grow, what no file names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

# Who may import what: packages by their name, explainer's own by file or folder. The longest path that fits a file is
# its row; a new file is a new row. Every file may import `errors`, the standard library, and its own folder;
# `explainer` is what the package itself says, such as its version.
# "lazily" is for imports inside functions: what stands there may load heavy packages, but only when it is called.
TABLE = """
file or folder                   | when it is loaded                                          | lazily
---------------------------------|------------------------------------------------------------|-----------
explainer/__init__.py            |                                                            | anything
explainer/errors.py              |                                                            |
explainer/theme.py               |                                                            |
explainer/architecture.py        |                                                            |
explainer/statistics.py          | numpy                                                      |
explainer/moments.py             | numpy numba statistics                                     |
explainer/storage.py             | numpy                                                      |
explainer/untrusted.py           |                                                            |
explainer/shard_file.py          | numpy storage statistics untrusted                         |
explainer/folder.py              | storage shard_file untrusted                               |
explainer/recordings.py          | numpy storage                                              |
explainer/ranks.py               | numpy storage recordings folder statistics                 |
explainer/arena.py               | numpy storage                                              |
explainer/writer.py              | numpy storage arena statistics architecture                |
explainer/trace.py               | numpy storage recordings ranks statistics architecture     | pandas page integrations
explainer/recorder               | explainer torch numpy trace storage writer statistics moments architecture |
explainer/flow.py                | numpy trace                                                |
explainer/thinning.py            | numpy                                                      |
explainer/units.py               | numpy trace                                                |
explainer/choosing.py            |                                                            |
explainer/distributions.py       | numpy                                                      |
explainer/histories.py           | numpy trace flow thinning                                  |
explainer/lifetimes.py           | numpy trace choosing saturation thinning units             |
explainer/ratios.py              | numpy trace thinning                                       |
explainer/saturation.py          | numpy trace architecture                                   |
explainer/weights.py             | numpy trace architecture saturation                        |
explainer/baseline.py            | trace                                                      |
explainer/operations.py          | numpy                                                      |
explainer/stages.py              | architecture                                               |
explainer/laps.py                | numpy trace                                                |
explainer/reach.py               | numpy trace flow stages                                    |
explainer/chain.py               | numpy trace operations                                     |
explainer/symbols.py             | architecture operations                                    |
explainer/same_answer.py         | numpy trace scores                                         |
explainer/diagnosis.py           | numpy flow baseline lifetimes ratios same_answer saturation units |
explainer/portrait.py            | numpy classifier scores stages                             |
explainer/factors.py             | numpy chain operations                                     |
explainer/change.py              | numpy trace chain operations                               |
explainer/classifier.py          | numpy trace recordings scores operations                   |
explainer/forward.py             | numpy trace operations                                     |
explainer/plane.py               | numpy trace classifier forward regression                  |
explainer/predictions.py         | numpy trace classifier                                     |
explainer/scores.py              | numpy trace operations                                     |
explainer/regression.py          | numpy trace                                                |
explainer/cross_entropy.py       | numpy trace predictions regression scores                  |
explainer/walk.py                | numpy                                                      |
explainer/surface.py             | numpy walk                                                 | surface_folder
explainer/array_file.py          | numpy storage untrusted                                    |
explainer/surface_folder.py      | numpy surface array_file untrusted                         |
explainer/sampler                | explainer torch numpy trace recordings surface recorder    | scipy
explainer/sampler/resuming.py    | numpy surface untrusted                                    |
explainer/sampler/telling.py     |                                                            | rich
explainer/verify                 | torch numpy trace recorder architecture                    |
explainer/verify/__init__.py     | trace                                                      | numpy numpy
explainer/verify/report.py       |                                                            |
explainer/verify/comparing.py    | numpy                                                      |
explainer/lessons                | torch numpy trace recorder sampler                         | sklearn
explainer/lessons/__init__.py    | explainer trace                                            |
explainer/lessons/catalogue.py   |                                                            |
explainer/lessons/own_axes.py    | numpy trace                                                |
explainer/lessons/teaching.py    | torch trace surface sampler                                |
explainer/lessons/surfaces.py    | numpy trace surface                                        | sampler
explainer/lessons/vision.py      | torch                                                      |
explainer/plots           | matplotlib mpl_toolkits numpy trace theme flow chain surface predictions baseline thinning |
explainer/plots/moving_files.py  | numpy PIL                                                  | av
explainer/plots/graph_of_chain.py | matplotlib numpy theme symbols factors                    |
explainer/plots/factors_in_a_row.py | numpy theme architecture symbols factors                |
explainer/plots/mathematics.py   | symbols operations                                         |
explainer/plots/areas_of_dead_units.py | matplotlib numpy theme thinning histories lifetimes        |
explainer/plots/curves_of_ratios.py | matplotlib numpy theme ratios                              |
explainer/plots/map_of_gradients.py | matplotlib numpy theme thinning histories                  |
explainer/plots/pictures_of_weights.py | matplotlib numpy theme weights                             |
explainer/plots/ridges_of_activations.py | matplotlib numpy theme thinning distributions saturation choosing |
explainer/plots/ridges_of_gradients.py | matplotlib numpy theme thinning distributions choosing     |
explainer/plots/rows.py          | matplotlib numpy theme saturation                          |
explainer/plots/diagram_of_network.py | matplotlib numpy theme portrait                        |
explainer/plots/stages_in_a_row.py | matplotlib numpy theme stages portrait                    |
explainer/plots/bent_grid.py           | matplotlib numpy theme classifier forward plane      |
explainer/plots/curves_of_fit.py       | matplotlib numpy theme regression                    |
explainer/plots/curves_of_gap.py       | matplotlib numpy theme scores thinning               |
explainer/plots/curves_of_mistakes.py  | matplotlib numpy theme scores thinning               |
explainer/plots/examples_over_steps.py | matplotlib numpy theme classifier thinning           |
explainer/plots/matrix_of_answers.py   | matplotlib numpy theme classifier                    |
explainer/plots/plane_of_classes.py    | matplotlib numpy theme plane                         |
explainer/plots/sums_along_dims.py     | matplotlib numpy theme scores thinning               |
explainer/plots/page_of_findings.py | matplotlib theme diagnosis                               |
explainer/mobjects         | manim cairo svgelements numpy trace theme flow surface architecture stages | lessons typst
explainer/mobjects/factors.py    | manim numpy theme chain operations                         |
explainer/mobjects/flow_words.py | trace reach                                                |
explainer/mobjects/layer_row.py  | manim numpy theme reach                                    |
explainer/mobjects/symbols.py    | symbols                                                    |
explainer/page                   | numpy                                                      |
explainer/page/answers.py        | numpy predictions                                          |
explainer/page/colours.py        | theme                                                      |
explainer/page/curves.py         | numpy baseline flow reach                                  |
explainer/page/products.py       | numpy architecture chain operations                        |
explainer/page/gradients.py      | numpy flow                                                 |
explainer/page/maps.py           | numpy                                                      |
explainer/page/network.py        | numpy architecture scores stages units                     |
explainer/page/relief.py         | numpy theme                                                |
explainer/page/shown.py          | numpy flow                                                 |
explainer/subtitles.py           |                                                            | srt
explainer/render                 | theme subtitles                                            | av PIL manim_slides
explainer/filming.py             |                                                            | manim subtitles
explainer/mobjects/captions.py   | subtitles                                                  |
explainer/testing                | numpy trace units                                          | verify
explainer/pytest_plugin.py       | pytest explainer                                           | testing
explainer/integrations           | numpy trace                                                | anything
explainer/doctor.py              |                                                            | torch lessons
explainer/cli                    | explainer click render                                     | anything
explainer/__main__.py            | cli                                                        |
scenes                           | manim numpy trace theme flow chain surface mobjects predictions baseline |
scenes/gradient_flow.py          | manim numpy theme mobjects reach                           |
scenes/function_approximation.py | manim numpy theme mobjects regression                      |
scenes/loss_functions.py         | manim numpy trace theme mobjects regression cross_entropy  |
scenes/ripple.py                 | manim numpy trace theme mobjects chain change              |
scenes/logits_to_loss.py         | manim numpy trace theme mobjects scores                    |
scenes/training_loop.py          | manim numpy trace theme mobjects baseline laps             |
"""


class Row(NamedTuple):
    """What the files under one path may import."""

    loaded: frozenset[str]
    lazily: frozenset[str]


class Import(NamedTuple):
    """One import, by the name that the table has for it."""

    name: str
    line: int
    lazy: bool


def rows() -> dict[str, Row]:
    lines = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()[2:]]
    return {path: Row(frozenset(loaded.split()), frozenset(lazily.split())) for path, loaded, lazily in lines}


def source_files() -> list[str]:
    return sorted(
        path.relative_to(ROOT).as_posix()
        for folder in ("explainer", "scenes")
        for path in (ROOT / folder).rglob("*.py")
    )


def row_of(file: str) -> tuple[str, Row] | None:
    fitting = [path for path in rows() if file == path or file.startswith(path + "/")]
    return (longest := max(fitting, key=len), rows()[longest]) if fitting else None


def imports_of(file: str, source: str) -> Iterator[Import]:
    """Walk a file's imports, by table name; those under `if TYPE_CHECKING` are never executed and do not count."""
    package = file.removesuffix(".py").split("/")[:-1]

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(table_name(alias.name), node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            for alias in node.names:
                yield Import(table_name(module, alias.name), node.lineno, lazy)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.orelse:
                yield from walk(child, lazy)
        else:
            inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from walk(child, inside)

    yield from walk(ast.parse(source), lazy=False)


def table_name(module: str, member: str = "") -> str:
    """`explainer.mobjects.bars` is "mobjects"; `from explainer import flow` is "flow"; `torch.nn` is "torch"."""
    top, *below = module.split(".")
    if top != "explainer":
        return top
    if not below and ((ROOT / "explainer" / f"{member}.py").exists() or (ROOT / "explainer" / member).is_dir()):
        below = [member]
    return below[0] if below and below[0] else "explainer"


def own_name(path: str) -> str:
    return path.split("/")[1 if path.startswith("explainer/") else 0].removesuffix(".py")


def violations(file: str, source: str) -> list[str]:
    found = row_of(file)
    if found is None:
        return [f"{file} is not in the table of tests/test_house.py: add its row"]
    path, row = found
    always = {"errors", own_name(path), *sys.stdlib_module_names}
    return [
        f"{file}:{line} imports {name}{' in a function' if lazy else ''}: the row of {path} does not allow it"
        for name, line, lazy in imports_of(file, source)
        if name not in always | row.loaded and not (lazy and row.lazily & {name, "anything"})
    ]


@pytest.mark.parametrize("file", source_files())
def test_a_file_imports_only_what_the_table_allows(file: str) -> None:
    assert violations(file, (ROOT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source", "complaints"),
    [
        ("explainer/trace.py", "import torch", 1),
        ("explainer/trace.py", "if True:\n    import torch.nn as nn", 1),
        ("explainer/trace.py", "class A:\n    from explainer import plots", 1),
        ("explainer/trace.py", "from . import plots\nfrom .plots.flow import bars", 2),
        ("explainer/trace.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", 0),
        ("explainer/trace.py", "def f():\n    import pandas", 0),
        ("explainer/trace.py", "def f():\n    import torch", 1),
        ("explainer/trace.py", "import numpy, json\nfrom explainer.errors import TraceError", 0),
        ("explainer/lessons/vision.py", "from explainer import recorder", 1),
        ("explainer/lessons/digits.py", "from explainer import recorder", 0),
        ("scenes/chain_rule.py", "from scenes.other import Other", 0),
        ("scenes/chain_rule.py", "def f():\n    import torch", 1),
        ("explainer/newcomer.py", "", 1),
    ],
)
def test_the_table_is_enforced_wherever_an_import_stands(file: str, source: str, complaints: int) -> None:
    assert len(violations(file, source)) == complaints


def packages_loaded_by(code: str, *arguments: str) -> set[str]:
    """Run `code` in a fresh Python, and return the top-level names of everything that it loaded."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_explainer_loads_no_heavy_package() -> None:
    assert not packages_loaded_by("import explainer") & {"torch", "matplotlib", "manim", "numpy", "pandas", "sklearn"}


def test_opening_and_reading_a_trace_loads_no_torch(tmp_path: Path) -> None:
    record_two_steps(tmp_path / "run")
    reading = """
import sys, numpy, explainer
trace = explainer.open_trace(sys.argv[1])
assert len(trace.steps) == 2 and trace.scalars["loss"].shape == (2,)
for of_kind in trace.activations, trace.gradients, trace.parameters, trace.parameter_gradients, trace.updates:
    assert all(numpy.asarray(of_kind[name]).size for name in of_kind)
assert trace.statistics["gradients"]["0"]["norm"].shape == (2,)
"""
    assert not packages_loaded_by(reading, str(tmp_path / "run")) & {"torch", "matplotlib", "manim"}


def record_two_steps(folder: Path) -> None:
    import torch

    import explainer

    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    criterion, optimizer = torch.nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, folder, criterion=criterion, optimizer=optimizer):
        for _ in range(2):
            optimizer.zero_grad()
            criterion(model(torch.ones(5, 3)), torch.zeros(5, 2)).backward()
            optimizer.step()


@pytest.mark.skipif(find_spec("manim") is None, reason="manim is not installed: pip install 'explainer[films]'")
def test_importing_the_scenes_loads_no_torch() -> None:
    scenes = [path.stem for path in sorted((ROOT / "scenes").glob("*.py")) if path.stem != "__init__"]
    assert scenes
    importing = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module('scenes.' + name)"
    assert not packages_loaded_by(importing, *scenes) & {"torch", "matplotlib"}


@pytest.mark.parametrize("file", source_files())
def test_a_file_has_at_most_400_lines_and_a_function_60(file: str) -> None:
    source = (ROOT / file).read_text(encoding="utf-8")
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(source.splitlines()) <= 400
    assert [f.name for f in functions if (f.end_lineno or f.lineno) - f.lineno + 1 > 60] == []


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Every file that git tracks and that is text; the pattern below is allowed to name what it forbids."""
    # The folder may belong to another user than the one who runs the tests, as in a container.
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    try:
        listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no list of tracked files: git is missing, or this is no checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            try:
                yield name, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def test_no_file_names_a_folder_of_one_machine() -> None:
    one_machine = re.compile(r"(?<![\w.~*-])/(?:work|opt|root|home/\w+|Users/\w+|tmp/\w+)(?:/|\b)")
    assert [(name, found.group()) for name, text in tracked_texts() for found in one_machine.finditer(text)] == []


def test_no_file_names_a_package_index_but_pytorchs() -> None:
    url = re.compile(r"https?://[^\s\"'<>)]+")
    index = re.compile(r"//[^/]*(pypi|artifactory|nexus|mirror|devpi)|/simple\b|/whl\b|\.whl\b")
    named = {(name, found) for name, text in tracked_texts() for found in url.findall(text) if index.search(found)}
    assert {(name, found) for name, found in named if found != "https://download.pytorch.org/whl/cpu"} == set()


def test_the_chores_know_what_they_are_asked() -> None:
    asked = subprocess.run(["sh", "do", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 2
    assert "no chore is called nonsense; there are setup, demo, test, gallery, lint and clean" in asked.stderr
