"""The recordings of several processes, opened as one trace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer

RANKS, STEPS = 2, 3


def batch(rank: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(10 * step + rank)
    return torch.randn(4, 5, generator=generator), torch.randint(0, 3, (4,), generator=generator)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks side by side in one process: gradients are averaged by hand, as DistributedDataParallel does."""
    folder = tmp_path_factory.mktemp("ranks") / "run"
    torch.manual_seed(5)
    models = [nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)) for _ in range(RANKS)]
    models[1].load_state_dict(models[0].state_dict())
    criteria = [nn.CrossEntropyLoss() for _ in range(RANKS)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
    recorders = [
        explainer.record(models[rank], folder / f"rank{rank}", criterion=criteria[rank], optimizer=optimizers[rank])
        for rank in range(RANKS)
    ]
    with recorders[0], recorders[1]:
        for step in range(STEPS):
            for rank in range(RANKS):
                optimizers[rank].zero_grad()
                inputs, targets = batch(rank, step)
                criteria[rank](models[rank](inputs), targets).backward()
            for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
                mean = (one.grad + other.grad) / 2
                one.grad.copy_(mean)
                other.grad.copy_(mean)
            for optimizer in optimizers:
                optimizer.step()
    for rank in range(RANKS):
        edit(folder / f"rank{rank}", rank={"rank": rank, "of": RANKS})
    return folder


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "trace.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_examples_are_joined_in_the_order_of_the_ranks(run: Path) -> None:
    trace = explainer.open_trace(run)
    assert (trace.ranks, len(trace), trace.finished) == (2, STEPS, True)
    for step in range(STEPS):
        expected = torch.cat([batch(rank, step)[0] for rank in range(RANKS)])
        np.testing.assert_array_equal(trace.inputs[step], expected)
    parts = [explainer.open_trace(run / f"rank{rank}") for rank in range(RANKS)]
    for kind in ("activations", "gradients"):
        assert getattr(trace, kind)["0"].shape == (STEPS, 8, 6)
        both = np.concatenate([np.asarray(getattr(part, kind)["0"]) for part in parts], axis=1)
        np.testing.assert_array_equal(np.asarray(getattr(trace, kind)["0"]), both)


def test_the_loss_is_the_whole_batchs_and_the_parameters_are_every_ranks(run: Path) -> None:
    trace, rank1 = explainer.open_trace(run), explainer.open_trace(run / "rank1")
    logits, targets = trace.criterion.inputs, trace.targets
    for step in range(STEPS):
        whole = nn.functional.cross_entropy(torch.tensor(logits[step]), torch.tensor(targets[step]))
        assert trace.scalars["loss"][step] == pytest.approx(whole.item(), rel=1e-6)
    assert set(trace.scalars["learning_rate"]) == {0.1}
    for kind in ("parameters", "parameter_gradients", "updates"):
        np.testing.assert_array_equal(
            np.asarray(getattr(trace, kind)["0.weight"]), np.asarray(getattr(rank1, kind)["0.weight"])
        )


@pytest.mark.parametrize("kind", ["activations", "gradients", "inputs"])
def test_statistics_are_those_of_the_whole_batch(run: Path, kind: str) -> None:
    trace = explainer.open_trace(run)
    name = "inputs" if kind == "inputs" else "1"
    values = torch.tensor(np.asarray(trace.inputs if kind == "inputs" else getattr(trace, kind)[name])).double()
    for step, of_step in enumerate(values):
        expected = {
            "mean": of_step.mean(),
            "std": of_step.std(correction=0),
            "abs_mean": of_step.abs().mean(),
            "norm": of_step.norm(),
            "max_abs": of_step.abs().max(),
            "zero_fraction": (of_step == 0).double().mean(),
            "nonfinite": 0,
        }
        found = {which: column[step] for which, column in trace.statistics[kind][name].items()}
        assert found == pytest.approx({which: float(value) for which, value in expected.items()}, rel=1e-5, abs=1e-9)


def test_statistics_of_parts_of_different_sizes_are_merged_by_their_sizes() -> None:
    from explainer.ranks import merged_statistics

    def summary(values: np.ndarray[Any, Any]) -> list[float]:
        return [
            values.mean(), values.std(), np.abs(values).mean(), np.linalg.norm(values), np.abs(values).max(),
            (values == 0).mean(), 0,
        ]  # fmt: skip

    rng = np.random.default_rng(0)
    parts = [rng.normal(3, 1, 7), rng.normal(-1, 5, 301), np.zeros(301)]
    merged = merged_statistics(np.array([summary(part) for part in parts]))
    np.testing.assert_allclose(merged, summary(np.concatenate(parts)), rtol=1e-12)
    unseen = merged_statistics(np.array([summary(parts[0]), [np.nan] * 7]))
    np.testing.assert_allclose(unseen, summary(parts[0]), rtol=1e-12)
    assert np.isnan(merged_statistics(np.full((2, 7), np.nan))).all()


def test_what_one_rank_misses_is_told_with_its_rank(run: Path) -> None:
    edit(run / "rank1", missing={"0": "no gradient: because"})
    assert explainer.open_trace(run).missing == {"0": "rank 1: no gradient: because"}
    edit(run / "rank0", missing={"0": "no gradient: because"})
    assert explainer.open_trace(run).missing == {"0": "no gradient: because"}


def test_refresh_sees_what_the_ranks_recorded_since(run: Path) -> None:
    edit(run / "rank1", finished=False, shards=None)
    trace = explainer.open_trace(run)
    assert not trace.finished
    edit(run / "rank1", finished=True, shards=len(list((run / "rank1").glob("*.safetensors"))))
    assert trace.refresh().finished
    assert len(trace) == STEPS


def test_ranks_that_did_not_train_one_model_are_told_with_name_and_step(run: Path) -> None:
    torch.manual_seed(6)
    model, criterion = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    shutil.rmtree(run / "rank1")
    with explainer.record(model, run / "rank1", criterion=criterion, optimizer=optimizer):
        inputs, targets = batch(1, 0)
        criterion(model(inputs), targets).backward()
        optimizer.step()
    edit(run / "rank1", rank={"rank": 1, "of": 2})
    trace = explainer.open_trace(run)
    assert len(trace) == 1
    for read in (lambda: trace.parameters["0.weight"][0], lambda: trace.statistics["parameters"]["0.weight"]["norm"]):
        with pytest.raises(
            explainer.TraceError, match=r"ranks 0 and 1 have different parameters of '0.weight' at step 0"
        ):
            read()


DAMAGE = {
    "missing": (lambda run: shutil.rmtree(run / "rank1"), "there is no rank1"),
    "other number": (lambda run: edit(run / "rank1", rank={"rank": 0, "of": 2}), "says that it is rank 0 of 2"),
    "other count": (lambda run: edit(run / "rank1", rank={"rank": 1, "of": 3}), "says that it is rank 1 of 3"),
    "no rank": (lambda run: edit(run / "rank1", rank=None), "says that it is of no distributed run"),
    "other model": (
        lambda run: edit(
            run / "rank1", model={**json.loads((run / "rank1/trace.json").read_text())["model"], "type": "X"}
        ),
        "ranks 0 and 1 recorded different models",
    ),
    "link": (
        lambda run: ((run / "rank1").rename(run / "elsewhere"), (run / "rank1").symlink_to(run / "elsewhere")),
        "rank1 is no folder, but a link",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_ranks_that_do_not_belong_together_are_told_in_one_sentence(run: Path, damage: Any, message: str) -> None:
    damage(run)
    with pytest.raises(explainer.TraceError, match=message) as caught:
        explainer.open_trace(run)
    assert "\n" not in str(caught.value)
