"""The loss at points of a plane is what a plain loop over `functional_call` returns, whatever shortcut was taken."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from threading import current_thread
from typing import Any

import networks
import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

import explainer
from explainer.sampler import chunks
from explainer.sampler.columns import Columns
from explainer.sampler.evaluation import Evaluator
from explainer.sampler.lent import LentModel, Shortcuts
from explainer.sampler.problem import Problem, pose

Tensors = dict[str, torch.Tensor]


class Reader(nn.Module):
    """A transformer with an embedding whose weights are also those of its head; takes keywords or a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.2)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 11)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        seen = self.layer(self.embedding(tokens) * scale[:, :, None])
        return self.head(self.norm(seen).mean(dim=1))


class OfItsBatch(nn.Module):
    """Adds to each example what the others of its batch are, as much as a weight says, which is zero at first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.share, self.last = nn.Linear(5, 6), nn.Parameter(torch.zeros(())), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        return self.last(x + self.share * x.mean(dim=0))


class Counting(nn.Module):
    """Counts its calls in a buffer, in eval mode too, and reads the count."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.replaced = self.replaced + 1
        return self.first(x) * self.calls * self.replaced


class Twice(nn.Module):
    """Calls its first layer twice with its input, the second time to change what comes out in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two = self.first(x), self.first(x).mul_(0.5).tanh_()
        return self.last(one * two)


class WritesItsInput(nn.Module):
    """Writes into its input between two calls of its first layer, and takes it back."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.first(x.view_as(x))
        two = torch.sin(self.first(x.mul_(2)))
        x.mul_(0.5)
        return one + two


def tabular(examples: int = 300, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(examples, 5, generator=generator), torch.randint(0, classes, (examples,), generator=generator)


def images(examples: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(examples, 1, 6, 6, generator=generator), torch.randint(0, 3, (examples,), generator=generator)


def sentences(examples: int = 24) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, 11, (examples, 7), generator=generator)
    scale = torch.rand(examples, 7, generator=generator)
    return {"tokens": tokens, "scale": scale}, torch.randint(0, 11, (examples,), generator=generator)


def pairs() -> list[Any]:
    inputs, targets = sentences()
    return [((inputs["tokens"][part], inputs["scale"][part]), targets[part]) for part in (slice(0, 9), slice(9, 24))]


def accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs.view(len(targets), -1).argmax(dim=1) == targets).double().mean()


def deep() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(36, 20), nn.Tanh(), nn.Linear(20, 12), nn.GELU(), nn.Dropout(0.5), nn.Linear(12, 3)
    )


def probabilities() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(inplace=True), nn.Linear(6, 3), nn.LogSoftmax(dim=1))


def regression(examples: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, _ = tabular(examples)
    return inputs, inputs[:, :3].sin()


CASES: dict[str, tuple[Callable[[], nn.Module], Any, Any, str]] = {
    "an MLP": (networks.mlp, tabular(), nn.CrossEntropyLoss(), "eval"),
    "an MLP in train mode": (networks.mlp, tabular(), nn.CrossEntropyLoss(), "train"),
    "an MLP on several batches": (
        networks.mlp,
        [tabular(70), (tabular(31)[0] * 2, tabular(31)[1])],
        nn.CrossEntropyLoss(label_smoothing=0.1),
        "eval",
    ),
    "an MLP with dropout": (deep, images(), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5])), "eval"),
    "an MLP with dropout in train mode": (deep, images(), nn.CrossEntropyLoss(), "train"),
    "log-softmax": (probabilities, tabular(), nn.NLLLoss(), "eval"),
    "a functional loss": (networks.mlp, tabular(), nn.functional.cross_entropy, "eval"),
    "regression": (networks.mlp, regression(), nn.MSELoss(), "eval"),
    "a line": (lambda: nn.Linear(5, 3), regression(), nn.MSELoss(), "eval"),
    "float64": (lambda: networks.mlp().double(), (tabular()[0].double(), tabular()[1]), nn.CrossEntropyLoss(), "eval"),
    "a CNN with batch norm": (networks.Residual, images(), nn.CrossEntropyLoss(), "eval"),
    "a CNN with batch norm and dropout in train mode": (
        networks.Residual,
        [images(40), images(24)],
        nn.CrossEntropyLoss(),
        "train",
    ),
    "a transformer": (Reader, sentences(), nn.CrossEntropyLoss(), "eval"),
    "a transformer, tuples, two batches": (Reader, pairs(), nn.CrossEntropyLoss(), "eval"),
    "a transformer in train mode": (Reader, pairs(), nn.CrossEntropyLoss(), "train"),
    "examples that see each other": (OfItsBatch, tabular(), nn.CrossEntropyLoss(), "eval"),
    "a buffer that counts": (Counting, [tabular(40), tabular(30)], nn.CrossEntropyLoss(), "eval"),
    "a first layer called twice": (Twice, tabular(), nn.CrossEntropyLoss(), "eval"),
    "a first layer whose input was written": (WritesItsInput, tabular(), nn.CrossEntropyLoss(), "eval"),
}


def drawn(model: nn.Module, seed: int, scale: float = 0.5) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: scale * torch.randn(each.shape, generator=generator).to(each) for name, each in model.named_parameters()
    }


def grid(side: int = 6) -> np.ndarray:
    u, v = np.linspace(-1.3, 1.1, side), np.linspace(-0.7, 1.5, side + 1)
    return np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)


def plain_loop(problem: Problem, center: Tensors, directions: list[Tensors], points: np.ndarray) -> np.ndarray:
    """What one would write with torch alone; dropout draws the same at every point."""
    found = []
    model = copy.deepcopy(problem.model).train(problem.training)
    for u, v in points.tolist():
        weights = {name: each + u * directions[0][name] + v * directions[1][name] for name, each in center.items()}
        torch.default_generator.manual_seed(0)
        sums, count = np.zeros(1 + len(problem.metrics)), 0
        buffers = {name: each.clone() for name, each in model.named_buffers()}
        for inputs, targets in problem.batches:
            arguments = inputs if isinstance(inputs, tuple) else () if isinstance(inputs, dict) else (inputs,)
            keywords = inputs if isinstance(inputs, dict) else {}
            with torch.no_grad():
                outputs = functional_call(model, {**weights, **buffers}, arguments, keywords)
                values = [each(outputs, targets) for each in (problem.criterion, *problem.metrics.values())]
            sums += len(targets) * np.array(list(map(float, values)))
            count += len(targets)
        found.append(sums / count)
    return np.array(found)


def posed(name: str) -> tuple[Problem, Tensors, list[Tensors]]:
    make, data, criterion, mode = CASES[name]
    model = networks.seeded(make)
    metrics = {"accuracy": accuracy} if "CNN" in name or "MLP" in name else None
    problem = pose(model, criterion, data, metrics, "as is", mode)
    center = {each: tensor.detach().clone() for each, tensor in model.named_parameters()}
    return problem, center, [drawn(model, 11), drawn(model, 12)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("piece", [chunks._BYTES, 600], ids=["whole", "in pieces"])
def test_every_point_is_what_a_plain_loop_gives(name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_WEIGHTS", 0)
    monkeypatch.setattr(chunks, "_BYTES", piece)  # so many bytes of an activation make a piece of a batch
    problem, center, directions = posed(name)
    chance, points = torch.get_rng_state(), grid()
    found = Evaluator(problem, center, directions)(points)
    assert torch.equal(torch.get_rng_state(), chance)
    np.testing.assert_allclose(found[:, 0], plain_loop(problem, center, directions, points)[:, 0], rtol=1e-5)
    assert np.ptp(found[:, 0]) > 0.1  # a plane on which nothing happens would prove nothing
    np.testing.assert_allclose(
        found[:, 1:], plain_loop(problem, center, directions, points)[:, 1:], atol=1.5 / problem.examples
    )  # one example may stand on the border between two classes


@pytest.mark.parametrize(
    "name", ["an MLP", "an MLP with dropout in train mode", "a CNN with batch norm", "a transformer"]
)
def test_a_points_bits_do_not_depend_on_the_points_beside_it_or_their_order(name: str) -> None:
    problem, center, directions = posed(name)
    points = grid()
    whole = Evaluator(problem, center, directions)(points)
    order = np.random.default_rng(0).permutation(len(points))
    another = pickle.loads(pickle.dumps(Evaluator(problem, center, directions)))  # noqa: S301  (our own, as a worker gets it)
    pieces = np.concatenate([another(points[part]) for part in np.array_split(order, [1, 2, 9, 30])])
    assert np.array_equal(pieces, whole[order])


@pytest.mark.parametrize("name", ["an MLP", "a CNN with batch norm", "a transformer"])
def test_a_region_without_a_finite_loss_is_what_a_plain_loop_finds_it_to_be(name: str) -> None:
    problem, center, directions = posed(name)
    points = np.array([[u, v] for u in (-1e38, -1e19, 0.0, 1e19, 3e38) for v in (-1e20, 0.3, 1e38)])
    with np.errstate(all="ignore"):
        found = Evaluator(problem, center, directions)(points)[:, 0]
        expected = plain_loop(problem, center, directions, points)[:, 0]
    assert not np.isfinite(expected).all()
    lost = ~np.isfinite(expected)
    np.testing.assert_array_equal(found[lost], expected[lost])
    assert np.array_equal(np.isnan(found), np.isnan(expected))


def test_a_loss_of_nothing_is_the_nothing_that_a_plain_loop_finds() -> None:
    """At a perfect fit all of the loss is rounding, and no sum may be taken in another order."""
    problem, center, directions = posed("a line")
    inputs, _ = problem.batches[0]
    with torch.no_grad():
        fitted = pose(problem.model, nn.MSELoss(), (inputs, problem.model(inputs) * (1 + 3e-7)), None, "as is", "eval")
    found = Evaluator(fitted, center, directions)(grid(5) * 0.01 + [0.002, -0.004])
    expected = plain_loop(fitted, center, directions, grid(5) * 0.01 + [0.002, -0.004])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    at_the_center = Evaluator(fitted, center, directions)(np.zeros((1, 2)))
    np.testing.assert_allclose(at_the_center, plain_loop(fitted, center, directions, np.zeros((1, 2))), rtol=1e-5)


def test_a_model_that_refuses_points_nobody_asked_for_is_evaluated_where_it_was_asked() -> None:
    class Wary(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if float(self.weight.detach().norm()) > 1.5:
                raise ValueError("too far")
            return super().forward(x)

    torch.manual_seed(0)
    model, data = Wary(5, 3), tabular()
    problem = pose(model, nn.CrossEntropyLoss(), data, None, "as is", "eval")
    center = {name: each.detach().clone() for name, each in model.named_parameters()}
    found = Evaluator(problem, center, [drawn(model, 1), drawn(model, 2)])(0.01 * grid(2))
    assert np.isfinite(found).all()
    with pytest.raises(ValueError, match="too far"):
        Evaluator(problem, center, [drawn(model, 1), drawn(model, 2)])(grid(2))


def test_directions_that_cancel_beyond_what_a_product_holds_are_what_a_plain_loop_finds() -> None:
    problem, center, directions = posed("a line")
    points = np.array([[1e38, -1e38], [0.1, 0.2]])
    same = [directions[0], directions[0]]
    found = Evaluator(problem, center, same)(points)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, plain_loop(problem, center, same, points), rtol=1e-5)


def test_metrics_are_measured_with_the_loss_and_no_points_give_no_values() -> None:
    problem, center, directions = posed("an MLP on several batches")
    evaluator = Evaluator(problem, center, directions)
    assert evaluator(np.empty((0, 2))).shape == (0, 2)
    found, expected = evaluator(grid()), plain_loop(problem, center, directions, grid())
    np.testing.assert_allclose(found[:, 1], expected[:, 1], atol=1.5 / problem.examples)


@pytest.mark.parametrize("name", CASES)
def test_the_model_is_left_as_it_was(name: str) -> None:
    problem, center, directions = posed(name)
    model = problem.model.train()
    before = {each: (tensor, tensor.clone()) for each, tensor in [*model.named_parameters(), *model.named_buffers()]}
    attributes = [set(vars(module)) for module in model.modules()]
    threads = torch.get_num_threads()
    Evaluator(problem, center, directions)(grid(3))
    after = dict([*model.named_parameters(), *model.named_buffers()])
    assert all(after[each] is tensor and torch.equal(tensor, values) for each, (tensor, values) in before.items())
    assert [set(vars(module)) for module in model.modules()] == attributes
    assert all(module.training for module in model.modules())
    assert torch.get_num_threads() == threads


def test_a_failing_model_is_left_as_it_was_and_says_what_it_says() -> None:
    problem, center, directions = posed("a CNN with batch norm")
    evaluator = Evaluator(problem, center, directions)
    evaluator(grid(2))

    def fail(module: nn.Module, args: Any) -> None:
        raise RuntimeError("out of order")

    handle = problem.model.head.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of order"):
        evaluator(grid(2))
    handle.remove()
    assert all("forward" not in vars(module) for module in problem.model.modules())
    assert dict(problem.model.named_parameters()).keys() == center.keys()


def test_a_hook_that_only_looks_is_called_at_every_point() -> None:
    problem, center, directions = posed("an MLP with dropout")
    for layer in problem.model:
        seen: list[int] = []
        handle = layer.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        Evaluator(problem, center, directions)(grid(3))
        assert len(seen) >= len(grid(3))
        handle.remove()


def test_a_criterion_that_someone_listens_to_is_called_in_the_callers_thread() -> None:
    problem, center, directions = posed("regression")
    threads, callers = torch.get_num_threads(), set()
    handle = problem.criterion.register_forward_hook(lambda *_: callers.add(current_thread()))
    try:
        torch.set_num_threads(3)
        Evaluator(problem, center, directions)(grid(3))
    finally:
        torch.set_num_threads(threads)
        handle.remove()
    assert callers == {current_thread()}


def test_a_hook_that_changes_what_comes_out_is_heeded() -> None:
    problem, center, directions = posed("an MLP")
    points, doubled = grid(3), []

    def double(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        doubled.append(1)
        return 2 * output

    plain = plain_loop(problem, center, directions, points)[:, 0]
    problem.model[0].register_forward_hook(double)
    found = Evaluator(problem, center, directions)(points)[:, 0]
    assert len(doubled) >= len(points)
    assert not np.allclose(found, plain)
    np.testing.assert_allclose(found, plain_loop(problem, center, directions, points)[:, 0], rtol=1e-5)


def test_several_threads_find_what_one_finds() -> None:
    problem, center, directions = posed("regression")
    points, threads = grid(), torch.get_num_threads()
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(Evaluator(problem, center, directions)(points))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("an MLP", Columns),
        ("an MLP with dropout", Columns),
        ("log-softmax", Columns),
        ("a functional loss", Columns),
        ("an MLP in train mode", Shortcuts(shared=True)),
        ("a CNN with batch norm", Shortcuts(chunked=True, shared=True, channels_last=True)),
        ("a CNN with batch norm and dropout in train mode", Shortcuts(shared=True, channels_last=True)),
        ("a transformer", Shortcuts(chunked=True, shared=True)),
        ("a transformer in train mode", Shortcuts(shared=True)),
        ("examples that see each other", Shortcuts(shared=True)),
        ("a buffer that counts", Shortcuts(shared=True)),
        ("a first layer called twice", Shortcuts(chunked=True, shared=True)),
        ("a first layer whose input was written", Shortcuts(chunked=True, shared=True)),
    ],
)
def test_each_model_goes_the_quickest_way_that_is_true_of_it(
    name: str, way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "_WEIGHTS", 0)
    monkeypatch.setattr(chunks, "_BYTES", 200)
    problem, center, directions = posed(name)
    evaluator = Evaluator(problem, center, directions)
    evaluator(grid(1))
    found = evaluator._quick
    assert (found.how if isinstance(found, LentModel) else type(found)) == way


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_point_of_half_precision_has_the_loss_of_the_weights_that_it_names(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).to(dtype)
    x, y, criterion = torch.randn(40, 6).to(dtype), torch.randint(0, 3, (40,)), nn.CrossEntropyLoss()
    surface = explainer.loss_surface(model, criterion, (x, y), plane="random", resolution=5, progress=False)
    assert surface.center["0.weight"].dtype == (np.float16 if dtype == torch.float16 else np.float32)
    twin = copy.deepcopy(model)
    for (row, column), loss in np.ndenumerate(surface.losses):
        weights = surface.weights_at(surface.u[column], surface.v[row])
        twin.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
        with torch.no_grad():
            assert loss == pytest.approx(float(criterion(twin(x), y)), rel=1e-6)


class Spoils(nn.Module):
    """Writes into its input."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.out = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x -= 0.1
        return self.out(torch.tanh(self.one(x)))


def rectifies_first() -> nn.Module:
    return nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize("how", [{}, {"mode": "train"}, {"plane": "hessian"}])
@pytest.mark.parametrize("make", [Spoils, rectifies_first])
def test_a_model_that_writes_into_its_input_finds_the_same_data_at_every_point(make: Any, how: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, criterion = make(), nn.CrossEntropyLoss()
    batches = [(torch.randn(20, 4), torch.randint(0, 3, (20,))) for _ in range(2)]
    before = [x.clone() for x, _ in batches]
    options = {"plane": "random", "resolution": 4, "progress": False, **how}
    surface = explainer.loss_surface(model, criterion, batches, **options)
    assert all(torch.equal(x, own) for (x, _), own in zip(batches, before, strict=True))
    twin = copy.deepcopy(model)
    for (row, column), loss in np.ndenumerate(surface.losses):
        weights = surface.weights_at(surface.u[column], surface.v[row])
        twin.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
        with torch.no_grad():
            wanted = sum(float(criterion(twin(x.clone()), y)) for x, y in batches) / 2
        assert loss == pytest.approx(wanted, rel=1e-5)


def test_a_criterion_that_writes_into_the_targets_finds_the_same_at_every_point() -> None:
    def halved(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets.mul_(0.5)).square().mean()

    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 2), torch.randn(9, 4), torch.randn(9, 2)
    before = y.clone()
    still = {"bias": np.array([1e-12, 0.0])}, {"bias": np.array([0.0, 1e-12])}
    surface = explainer.loss_surface(model, halved, (x, y), plane=still, resolution=3, progress=False)
    assert torch.equal(y, before) and np.ptp(surface.losses) < 1e-6
