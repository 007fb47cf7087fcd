from __future__ import annotations

import gzip
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import explainer
from explainer import lessons
from explainer.lessons import digits, two_layer

MNIST = Path(__file__).parent.parent.parent / "shared" / "mnist"


@pytest.fixture(scope="module")
def trace() -> explainer.Trace:
    return lessons.record_lesson("digits")


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep apart from the runs of other tests, which may be recorded or read at the same time."""
    monkeypatch.setenv("EXPLAINER_RUNS", str(tmp_path / "runs"))


@pytest.mark.usefixtures("own_runs")
def test_a_lesson_is_recorded_once_and_found_again_by_its_settings() -> None:
    first = lessons.record_lesson("two-layer", steps=3)
    created = (first.folder / "trace.json").stat().st_mtime_ns
    assert lessons.record_lesson("two-layer", steps=3).folder == first.folder
    assert (first.folder / "trace.json").stat().st_mtime_ns == created
    assert lessons.record_lesson("two-layer", steps=4).folder != first.folder
    lessons.record_lesson("two-layer", steps=3, again=True)
    assert (first.folder / "trace.json").stat().st_mtime_ns != created
    assert not list(first.folder.parent.glob(".*"))


@pytest.mark.usefixtures("own_runs")
def test_what_another_process_recorded_meanwhile_is_left_to_those_who_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[explainer.Trace] = []
    run = two_layer.run

    def late(*args: object, **settings: object) -> None:
        monkeypatch.setattr(two_layer, "run", run)
        others.append(lessons.record_lesson("two-layer", steps=3))
        run(*args, **settings)

    monkeypatch.setattr(two_layer, "run", late)
    assert lessons.record_lesson("two-layer", steps=3).folder == others[0].folder
    np.testing.assert_array_equal(others[0].parameters["L1.weight"][-1].shape, (4, 2))
    assert not list(others[0].folder.parent.glob(".*"))


@pytest.mark.usefixtures("own_runs")
def test_a_lesson_whose_recording_was_killed_is_recorded_again() -> None:
    first = lessons.record_lesson("two-layer", steps=5)
    text = (first.folder / "trace.json").read_text()
    (first.folder / "trace.json").write_text(text.replace('"finished": true', '"finished": false'))
    assert lessons.record_lesson("two-layer", steps=5).finished


def test_a_lesson_can_be_laid_where_one_likes_but_not_over_something_else(tmp_path: Path) -> None:
    assert lessons.record_lesson("two-layer", tmp_path / "mine", steps=2).folder == tmp_path / "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(explainer.LessonError, match="holds something that is not a trace"):
        lessons.record_lesson("two-layer", tmp_path / "other", steps=2)
    assert (tmp_path / "other" / "thesis.txt").exists()
    with pytest.raises(explainer.LessonError, match="holds a trace already: choose another folder, or replace it"):
        lessons.record_lesson("two-layer", tmp_path / "mine", steps=3)
    assert len(lessons.record_lesson("two-layer", tmp_path / "mine", steps=3, again=True)) == 3
    assert (tmp_path / "mine").stat().st_mode == (tmp_path / "other").stat().st_mode  # others may read it


@pytest.mark.usefixtures("own_runs")
def test_progress_is_told_for_every_step() -> None:
    told: list[tuple[int, int]] = []
    lessons.record_lesson("two-layer", steps=6, again=True, progress=lambda done, total: told.append((done, total)))
    assert told == [(step, 6) for step in range(1, 7)]


def test_unknown_lessons_presets_and_settings_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(explainer.LessonError, match=r"no lesson is called 'digit'. Did you mean 'digits'\?"):
        lessons.record_lesson("digit")
    with pytest.raises(explainer.LessonError, match=r"no preset is called 'lectur'. Did you mean 'lecture'\?"):
        lessons.record_lesson("digits", preset="lectur")
    with pytest.raises(explainer.LessonError, match=r"no setting is called 'epoch'. Did you mean 'epochs'\?"):
        lessons.record_lesson("digits", epoch=3)
    with pytest.raises(explainer.LessonError, match="no data 'fashion': it is 'sklearn' or 'mnist'"):
        lessons.record_lesson("digits", data="fashion")
    with pytest.raises(explainer.LessonError, match="needs data_dir"):
        lessons.record_lesson("digits", data="mnist")
    with pytest.raises(explainer.LessonError, match=r"holds no MNIST/raw/t10k-images"):
        lessons.record_lesson("digits", data="mnist", data_dir=str(tmp_path))


def test_listing_lessons_and_finding_a_recorded_one_load_no_torch(tmp_path: Path) -> None:
    lessons.record_lesson("two-layer", steps=3)
    code = (
        "import sys; from explainer import lessons;"
        "lessons.record_lesson('two-layer', steps=3).parameters['L1.bias'][0];"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# digits: the lecture's table


def test_the_network_is_the_notebooks(trace: explainer.Trace) -> None:
    assert trace.layers == ("0", "1", "2", "3", "4", "5")
    assert [layer.type for layer in trace.model.layers.values()] == ["Linear", "ReLU"] * 2 + ["Linear", "LogSoftmax"]
    assert trace.model.parameter_count == 109_386
    assert trace.model.criterion.type == "NLLLoss"
    assert trace.missing == {}


def test_an_untrained_network_knows_nothing_and_a_trained_one_reads_digits(trace: explainer.Trace) -> None:
    assert abs(trace.scalars["loss"][0] - math.log(10)) < 0.03
    assert trace.steps[-1] == 459
    assert trace.scalars["test_accuracy"][-1] >= 0.95
    probabilities = np.exp(trace.probe.activations["5"])  # (step, image, class)
    np.testing.assert_allclose(np.asarray(probabilities).sum(axis=-1), 1, rtol=1e-5)
    assert trace.probe.targets.tolist() == list(range(10))
    assert (probabilities[0] < 0.2).all()
    assert probabilities[-1, 4, 4] > 0.9


def test_the_recorded_loss_is_the_criterion_of_the_recorded_outputs(trace: explainer.Trace) -> None:
    index = trace.index_of(-1)
    outputs, targets = torch.tensor(trace.probe.activations["5"][index]), torch.tensor(trace.probe.targets)
    assert trace.scalars["probe_loss"][index] == pytest.approx(torch.nn.NLLLoss()(outputs, targets).item(), rel=1e-6)


def test_pixels_that_are_black_in_every_image_get_the_biass_gradient_negated(trace: explainer.Trace) -> None:
    """Border pixels are −1 in every image, so ∂loss/∂W1[:, corner] = −∂loss/∂b1 (lecture/README)."""
    data = digits.images()
    black = (data.train == -1).all(dim=0).numpy()
    assert black.any()
    weight, bias = trace.parameter_gradients["0.weight"][5], trace.parameter_gradients["0.bias"][5]
    np.testing.assert_allclose(weight[:, black], -bias[:, None] * np.ones(black.sum()), rtol=1e-5, atol=1e-9)


def test_the_lecture_preset_has_the_notebooks_numbers() -> None:
    chosen = lessons.find("digits").with_settings("lecture")
    assert (chosen["learning_rate"], chosen["steps"], chosen["batch_size"]) == (0.003, 4690, 64)


@pytest.mark.skipif(not MNIST.is_dir(), reason="the MNIST test images are not beside this checkout")
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_read_through_torchvision_and_says_what_it_is(tmp_path: Path, packed: bool) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed", exc_type=ImportError)
    if packed:
        folder = MNIST
    else:
        raw = tmp_path / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for path in (MNIST / "MNIST" / "raw").glob("*.gz"):
            with gzip.open(path) as source, open(raw / path.stem, "wb") as sink:
                shutil.copyfileobj(source, sink)
        folder = tmp_path
    trace = lessons.record_lesson("digits", data="mnist", data_dir=str(folder), steps=30)
    assert trace.notes["data"] == "MNIST's 10,000 test images: 8,000 to learn from, 2,000 to test"
    assert (trace.notes["train_images"], trace.notes["test_images"]) == (8000, 2000)
    assert trace.probe.inputs.min() == -1
    assert trace.probe.inputs.max() == 1
    assert trace.scalars["test_accuracy"][-1] > 0.3


# two-layer: the chain rule by hand


def test_recorded_gradients_equal_a_chain_rule_worked_by_hand() -> None:
    trace = lessons.record_lesson("two-layer")
    inputs, targets = (tensor.numpy() for tensor in two_layer.examples())
    for step in (0, 12, 199):
        x, y = inputs[step % 64][None], targets[step % 64][None]  # (1, 2), (1, 1)
        W1, b1, W2, b2 = (trace.parameters[name][step] for name in ("L1.weight", "L1.bias", "L2.weight", "L2.bias"))
        L1 = x @ W1.T + b1
        S = 1 / (1 + np.exp(-L1))
        L2 = S @ W2.T + b2
        dL2 = 2 * (L2 - y)  # the loss is (L2 − y)²
        dS = dL2 @ W2
        dL1 = dS * S * (1 - S)
        by_hand = {"L1": dL1, "S": dS, "L2": dL2}
        for name, gradient in by_hand.items():
            np.testing.assert_allclose(trace.gradients[name][step], gradient, rtol=0, atol=1e-12)
        by_hand = {"L1.weight": dL1.T @ x, "L1.bias": dL1[0], "L2.weight": dL2.T @ S, "L2.bias": dL2[0]}
        for name, gradient in by_hand.items():
            np.testing.assert_allclose(trace.parameter_gradients[name][step], gradient, rtol=0, atol=1e-12)
        assert trace.scalars["loss"][step] == pytest.approx(((L2 - y) ** 2).item(), abs=1e-12)


def test_new_weights_are_old_ones_less_rate_times_gradient_exactly_as_torch_rounds_it() -> None:
    trace = lessons.record_lesson("two-layer")
    for name in ("L1.weight", "L1.bias", "L2.weight", "L2.bias"):
        for step in range(0, 199, 20):
            old, gradient = (
                torch.tensor(trace.parameters[name][step]),
                torch.tensor(trace.parameter_gradients[name][step]),
            )
            new = torch.add(old, gradient, alpha=-0.1)
            np.testing.assert_array_equal(trace.parameters[name][step + 1], new.numpy())


def test_the_two_layer_lesson_learns() -> None:
    losses = lessons.record_lesson("two-layer").scalars["probe_loss"]
    assert losses[-1] < losses[0] / 20
