"""A page's parts: arrays kept to the last bit, modules joined by a strict rule, every text in every language."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from surfaces import make_surface, make_walk
from torch import nn

import explainer
from explainer import cli, lessons
from explainer.errors import ExplainerError, TraceError
from explainer.page import languages, make_page, sources
from explainer.page.arrays import packed, quantized, tones
from explainer.page.colours import colours
from explainer.page.relief import relief
from explainer.page.shown import every, fewer
from explainer.page.texts import texts
from explainer.theme import DARK, LIGHT
from explainer.trace import Trace

KINDS = {"Uint8": "u1", "Int32": "<i4", "Float32": "<f4", "Float64": "<f8"}


@pytest.fixture(scope="module")
def small() -> Trace:
    return lessons.record_lesson("two-layer", steps=20)


def unpacked(place: list[Any], blob: str) -> np.ndarray:
    """Read an array back, by hand, as the page's script does."""
    kind, start, differences, *shape = place
    data = zlib.decompress(base64.b64decode(blob))
    size = np.dtype(KINDS[kind]).itemsize
    planes = np.frombuffer(data, np.uint8, int(np.prod(shape)) * size, start)
    if differences:
        planes = np.cumsum(planes, dtype=np.uint8)
    return np.ascontiguousarray(planes.reshape(size, -1).T).view(KINDS[kind]).reshape(shape)


def data_of(page: str) -> tuple[dict[str, Any], str]:
    """Return what stands in a page's data, and the blob of its arrays."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    blob = re.search(r'id="arrays">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert blob is not None
    return json.loads(found[1]), blob[1]


# Arrays


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([0.0, 1.0, 255.0]), "Uint8"),
        (np.array([0.1, -2.5, np.nan, np.inf, -np.inf], np.float32), "Float32"),
        (np.array([0.1, 1 / 3, np.nan]), "Float64"),
        (np.array([0.5, -0.0]), "Float32"),
        (np.array([1e-45, 3.4e38], np.float32), "Float32"),
        (np.array([[0, 1], [70_000, -3]]), "Int32"),
        (np.array([2**40, 1]), "Float64"),
        (np.zeros((0, 3)), "Uint8"),
        (np.linspace(1, 1.001, 300).reshape(3, 100), "Float64"),
    ],
)
def test_an_array_comes_back_to_the_last_bit_in_the_smallest_type_that_keeps_it(values: Any, kind: str) -> None:
    tree, blob = packed({"here": [values]})
    found = unpacked(tree["here"][0]["array"], blob)
    assert tree["here"][0]["array"][0] == kind
    assert found.astype(np.float64).tobytes() == values.astype(np.float64).tobytes()
    assert found.shape == values.shape


def test_several_arrays_lie_in_one_blob_without_touching_each_other() -> None:
    first, second = np.linspace(0, 1, 7), np.arange(5, dtype=np.uint8)
    tree, blob = packed({"a": first, "b": {"c": second}})
    assert np.array_equal(unpacked(tree["a"]["array"], blob), first)
    assert np.array_equal(unpacked(tree["b"]["c"]["array"], blob), second)


def test_numbers_outside_arrays_that_json_has_no_word_for_become_null() -> None:
    tree, _ = packed({"a": float("nan"), "b": np.float64("inf"), "c": np.int64(3), "d": True, "e": Path("x")})
    assert tree == {"a": None, "b": None, "c": 3, "d": True, "e": "x"}


def test_widths_have_their_sign_and_zero_in_the_middle() -> None:
    assert quantized([-2.0, -1.0, 0.0, 0.5, 1.0, np.nan, np.inf], 1.0).tolist() == [1, 1, 128, 192, 255, 128, 255]
    assert quantized([0.0], 0.0).tolist() == [128]
    assert tones([-1.0, 0.0, 1.0, 5.0, np.nan], -1.0, 1.0).tolist() == [0, 128, 255, 255, 0]


# Scripts and styles


def test_modules_are_joined_after_those_that_they_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, main='import { one, two } from "./a.js";\n\none(two);\n')
    write(
        tmp_path,
        a='import { two } from "./b.js";\nexport function one() {\n  return "export me";\n}\nexport { two };\n',
    )
    write(tmp_path, b="export const two = 2;\n")
    with pytest.raises(ExplainerError, match=r"a\.js: 'export \{ two \};' cannot be joined"):
        join(tmp_path, monkeypatch)
    write(tmp_path, main='import { one } from "./a.js";\nimport { two } from "./b.js";\n\none(two);\n')
    write(tmp_path, a='import { two } from "./b.js";\nexport function one() {\n  return "export me";\n}\n')
    joined = join(tmp_path, monkeypatch)
    assert re.findall(r"const module_(\w+) =", joined) == ["b", "a", "main"]
    assert "const { one } = module_a;" in joined
    assert "return { one };" in joined
    assert '  return "export me";' in joined


def test_modules_that_import_each_other_in_a_circle_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, main='import { a } from "./a.js";\n', a='import { b } from "./main.js";\n')
    with pytest.raises(ExplainerError, match="circle: main → a → main"):
        join(tmp_path, monkeypatch)


def write(folder: Path, **modules: str) -> None:
    for name, source in modules.items():
        (folder / f"{name}.js").write_text(source, encoding="utf-8")


def join(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sources, "HERE", folder)
    return sources.script.__wrapped__()


@pytest.mark.parametrize(
    "file", sorted([*sources.HERE.glob("*.js"), *sources.HERE.glob("*.css")]), ids=lambda p: p.name
)
def test_a_script_keeps_to_the_house(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400
    starts = [at for at, line in enumerate(lines) if re.match(r"(export )?(async )?function ", line)]
    assert [lines[at] for at in starts if lines[at:].index("}") >= 60] == []


def test_no_script_makes_markup_of_text_or_asks_the_network() -> None:
    words = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|fetch\(|XMLHttp|WebSocket|https?://"
    found = set(re.findall(words, sources.script()))
    assert found == {"http://"}  # the name of SVG's namespace
    assert re.findall(r"http://\S+", sources.script()) == ['http://www.w3.org/2000/svg";']
    assert not re.search(r"url\(|@import", sources.style())


def test_the_page_has_the_themes_colours() -> None:
    for room in DARK, LIGHT:
        assert f"--background: {room.background};" in colours()
    assert "--gradient: #E69F00;" in colours()


# Texts


def test_every_language_has_every_sentence_with_the_same_words_to_fill_in() -> None:
    assert {"en", "de"} <= set(languages())
    english = texts("en")
    for language in languages():
        other = {key: sentence for key, sentence in texts(language).items() if not key.startswith("data: ")}
        assert other.keys() == english.keys()
        for key, sentence in english.items():
            assert set(re.findall(r"\{(\w+)\}", other[key])) == set(re.findall(r"\{(\w+)\}", sentence)), key


def test_every_sentence_that_a_script_says_is_there() -> None:
    said = set(re.findall(r'say\(\s*"([\w.]+)"', sources.script()))
    assert len(said) > 50
    assert said - texts("en").keys() == set()


def test_every_view_has_two_sentences_on_how_to_read_it_and_one_on_what_to_try() -> None:
    for language in languages():
        for view in ("loss", "network", "flow", "surface", "digit", "chain", "runs"):
            sentences = texts(language)
            assert len(re.findall(r"[.?!](?= |$)", sentences[f"{view}.read"])) == 2, (language, view)
            assert re.search(r"[.?!]$", sentences[f"{view}.try"])


def test_an_unknown_language_is_answered_with_those_there_are(small: Trace) -> None:
    with pytest.raises(ExplainerError, match=r"no language of a page is called 'fr'.*'de', 'en'"):
        make_page(small, language="fr")


def test_the_data_of_the_lessons_is_told_in_every_language() -> None:
    quick = [name for name, lesson in lessons.LESSONS.items() if "steps" in lesson.settings]
    said = {lessons.record_lesson(name, steps=2).notes["data"] for name in quick}
    assert len(said) > 5
    for language in set(languages()) - {"en"}:
        assert {f"data: {each}" for each in said} - texts(language).keys() == set()


# The page


def test_the_policy_lets_in_this_script_and_this_style_alone(small: Trace) -> None:
    page = small.page().html
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    scripts, styles = (
        re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL),
        re.findall(r"<style>(.*?)</style>", page, re.DOTALL),
    )
    for kind, (text,) in (("script-src", scripts), ("style-src", styles)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in policy[1]
    assert not re.search(r"<(img|link rel=.?stylesheet|iframe|object|video)\b", page)


def test_names_that_look_like_markup_stand_in_the_file_as_data(small: Trace) -> None:
    page = small.page(title='</title></script><script>alert(1)</script>"&')
    assert page.html.count("<script") == page.html.count("</script>") == 3
    assert "<title>&lt;/title&gt;" in page.html
    assert data_of(page.html)[0]["title"] == page.title


def test_all_steps_are_shown_where_there_is_room_and_every_nth_where_not(small: Trace) -> None:
    tree, _ = data_of(make_page(small).html)
    assert tree["runs"][0]["stride"] == 1
    trace = lessons.record_lesson("two-layer", steps=150)
    whole = len(data_of(make_page(trace).html)[1])
    tree, blob = data_of(make_page(trace, most_bytes=whole // 2).html)
    (run,) = tree["runs"]
    shown = unpacked(run["steps"]["array"], blob)
    assert len(blob) <= whole // 2
    assert run["stride"] > 1
    assert run["recorded"] == 150
    assert shown.tolist() == sorted({*range(0, 150, run["stride"]), 149})
    losses = unpacked(run["loss"]["loss"]["array"], blob)
    assert np.array_equal(losses, trace.scalars["loss"][shown])


def test_the_last_step_is_always_shown(small: Trace) -> None:
    assert every(small, 6).steps.tolist() == [0, 6, 12, 18, 19]
    assert fewer(every(small), 4).steps.tolist() == [0, 5, 10, 15, 19]


def test_a_run_of_no_step_is_refused() -> None:
    with pytest.warns(explainer.ExplainerWarning, match="no step"), explainer.record(nn.Linear(2, 2)) as recorder:
        pass
    with pytest.raises(TraceError, match=r"holds no step.*the model was never called"):
        make_page(recorder.trace)
    with pytest.raises(TraceError, match="none was given"):
        make_page({})


def test_a_walk_has_no_place_at_steps_that_the_surface_does_not_know(small: Trace) -> None:
    walk = make_walk()  # steps 0, 10, 20, …
    shown = every(small, 5)  # 0, 5, 10, 15, 19
    found = relief(make_surface({"walk": walk}), {"": shown})["walks"][""]
    np.testing.assert_array_equal(found["loss"], [walk.true_losses[0], np.nan, walk.true_losses[1], np.nan, np.nan])
    assert relief(make_surface({"a": walk, "b": walk}), {"b": shown, "c": shown})["walks"].keys() == {"b"}


def test_films_are_linked_from_where_the_page_lies(small: Trace, tmp_path: Path) -> None:
    film = tmp_path / "films" / "a film.mp4"
    film.parent.mkdir()
    film.touch()
    page = make_page(small, films=[film, "https://example.org/x/lecture.mp4"], beside=tmp_path / "pages")
    assert data_of(page.html)[0]["films"] == [
        {"href": "../films/a%20film.mp4", "name": "a film.mp4"},
        {"href": "https://example.org/x/lecture.mp4", "name": "lecture.mp4"},
    ]
    with pytest.raises(ExplainerError, match="no film 'javascript:alert"):
        make_page(small, films=["javascript:alert(1)"])


def test_a_trace_that_keeps_statistics_alone_still_has_a_page_that_says_what_it_lacks() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, keep=()) as recorder:
        for _ in range(2):
            optimizer.zero_grad()
            criterion(model(torch.ones(5, 3)), torch.zeros(5, 2)).backward()
            optimizer.step()
    (run,) = data_of(recorder.trace.page().html)[0]["runs"]
    assert "keeps no activations" in run["network"]["missing"]
    assert "keeps no gradients" in run["chain"]["missing"]
    assert "no probe" in run["digit"]["missing"]
    assert "missing" not in run["flow"]


def test_a_notebook_gets_the_page_in_a_frame(small: Trace) -> None:
    page = small.page()
    frame = page._repr_html_()
    assert 'sandbox="allow-scripts"' in frame
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1]) == page.html  # type: ignore[index]


# The command


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        return (int(str(end.value.code)), *capsys.readouterr())

    return run


def test_the_command_writes_a_lessons_page(call: Any, small: Trace, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "lesson.html"
    code, out, err = call("page", small.folder, "-o", output, "--language", "de", "--no-surface", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told == {"file": str(output), "bytes": output.stat().st_size, "title": "Backpropagation, Zahl für Zahl"}
    assert output.read_text(encoding="utf-8").startswith('<!DOCTYPE html>\n<html lang="de">')


def test_several_traces_are_runs_between_which_one_chooses(call: Any, small: Trace, tmp_path: Path) -> None:
    other = lessons.record_lesson("two-layer", steps=6, learning_rate=0.5)
    line = lessons.record_lesson("line", steps=4)
    surface = make_surface({"walk": make_walk()}).save(tmp_path / "surface")
    output = tmp_path / "runs.html"
    assert call("page", small.folder, other.folder, "-o", output, "--surface", surface, "-q")[0] == 0
    tree, _ = data_of(output.read_text(encoding="utf-8"))
    assert len(tree["runs"]) == 2
    assert tree["runs"][1]["verdict"]["rate"] == 0.5
    assert tree["surface"]["plane"] == "pca"
    assert make_page({"a": small, "b": other}).title == "Backpropagation, number by number"
    assert make_page({"a": line, "b": line}).title == "line: 2 training runs beside each other"


def test_a_lesson_brings_its_own_surface(call: Any, tmp_path: Path) -> None:
    output = tmp_path / "trough.html"  # one weight has no plane, which is no failure
    assert call("page", "trough", "-o", output, "-q")[0] == 0
    assert data_of(output.read_text(encoding="utf-8"))[0]["surface"] == {"missing": "", "shared": True}
    output = tmp_path / "ravine.html"
    assert call("page", "ravine", "-o", output, "-q")[0] == 0
    assert set(data_of(output.read_text(encoding="utf-8"))[0]["surface"]["walks"]) == {"SGD", "momentum", "Adam"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("two-layer", "-o", "x.pdf"), r"a page is an HTML file"),
        (("two-layer", "-o", "a/x"), r"-o a/x\.html"),
        (("two-layer", "-o", ""), r"-o page\.html"),
        (("two-layer", "-o", "x.html", "--language", "fr"), r"'de', 'en'"),
        (("two-layr", "-o", "x.html"), r"Did you mean 'two-layer'"),
        (("two-layer", "-o", "x.html", "--surface", "a", "--no-surface"), r"either --surface or --no-surface"),
        (("two-layer", "-o", "x.html", "--no-surface", "--film", "none.mp4"), r"no film 'none.mp4'"),
        (("two-layer", "-o", "x.html", "--no-surface", "--film", "http://["), r"no address: Invalid IPv6 URL"),
    ],
)
def test_a_wrong_use_is_answered_with_a_sentence(arguments: tuple[str, ...], message: str, call: Any) -> None:
    code, _, err = call("page", *arguments)
    assert code == 2
    assert re.search(message, err)
