"""The sharpest directions: in which the loss curves upwards most at the center."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count as counting

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel

from explainer.errors import SurfaceError
from explainer.sampler.batch_norm import re_estimated_buffers
from explainer.sampler.gradients import batch_gradients
from explainer.sampler.problem import Problem, kept, start_chance
from explainer.sampler.telling import telling
from explainer.sampler.weights import Tensors

_UNDIFFERENTIABLE = ("is not implemented", "once_differentiable", "does not require grad")  # as torch says it
Product = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_DENSE = 32  # weights up to which the whole Hessian is computed: Lanczos needs room to work in
_ROOM = 20  # vectors that Lanczos holds
_MOST = 400  # Hessian-vector products until it is given up


def sharpest_directions(
    problem: Problem, center: Tensors, count: int = 2, *, shown: bool = False
) -> tuple[tuple[Tensors, ...], list[float]]:
    """Return unit directions of the largest curvatures, the largest first, and these curvatures.

    They are the eigenvectors of the Hessian of the loss over all the data with the largest eigenvalues (not the largest
    magnitudes: a steep fall away from a saddle is not sharpness), by Lanczos (ARPACK's, in `scipy.sparse.linalg.eigsh`)
    on Hessian-vector products (Pearlmutter 1994), from a start vector that is always the same. A product costs about
    six evaluations of the loss, and some twenty to a hundred are needed; about 20 vectors of all weights are held in
    float64. The largest entry of each direction is positive. Statistics of norms are held fixed.

    Raises:
        SurfaceError: It does not converge, or the loss has no finite second derivative.
    """
    size = sum(tensor.numel() for tensor in center.values())
    bar = telling(shown, "the sharpest directions", "products")
    with bar as tell, kept(problem.model, training=problem.training):
        start_chance()
        buffers = re_estimated_buffers(problem, center) if problem.batch_norm == "re-estimated" else None
        product = _products(problem, center, buffers, tell)
        _check_symmetry(product, size, _precision(center))
        if size <= max(_DENSE, count):
            values, vectors = np.linalg.eigh(_symmetric(np.stack([product(row) for row in np.eye(size)])))
        else:
            values, vectors = _lanczos(product, size, count, _precision(center))
    order = np.argsort(values)[::-1][:count]
    if not np.any(values[order]):
        raise SurfaceError("the loss has no curvature at the center: its Hessian is zero; take plane='random'")
    found = []
    for vector in vectors[:, order].T:
        turned = vector * np.sign(vector[np.argmax(np.abs(vector))])
        found.append(_shaped(turned / np.linalg.norm(turned), center))
    return tuple(found), values[order].tolist()


def _products(
    problem: Problem, center: Tensors, buffers: dict[str, torch.Tensor] | None, tell: Callable[[int, int], None]
) -> Product:
    """Return what multiplies a flat vector by the Hessian, and tells how often it did."""
    times = counting(1)

    def product(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in center.items()}
        along, found = _shaped(flat.ravel(), center), np.zeros(flat.size)
        tell(next(times), 0)
        # the fused attentions have no second derivative; this one gives the same numbers
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            start_chance()
            for share, _, slopes in batch_gradients(problem, leaves, buffers, create_graph=True):
                rise = torch.stack([(slope * along[name]).sum() for name, slope in zip(leaves, slopes, strict=True)])
                found += share * _second(rise.sum(), tuple(leaves.values()))
        if not np.isfinite(found).all():
            raise SurfaceError("the loss has no finite curvature at the center; choose another center=, or plane")
        return found

    return product


def _check_symmetry(product: Product, size: int, tolerance: float) -> None:
    """Refuse products of no Hessian: torch leaves out, silently, what flows through a `once_differentiable` function.

    Raises:
        SurfaceError: a·Hb is not b·Ha.
    """
    a, b = np.random.default_rng(1).standard_normal((2, size))
    of_a, of_b = product(a), product(b)
    scale = np.linalg.norm(a) * np.linalg.norm(of_b) + np.linalg.norm(b) * np.linalg.norm(of_a)
    if abs(a @ of_b - b @ of_a) > max(1e-6, 10 * tolerance) * scale:
        raise SurfaceError(
            "part of the model has no second derivative: its Hessian is not symmetric (a torch.autograd.Function with "
            "once_differentiable, or a detach); take plane='pca' or 'random'"
        )


def _second(rise: torch.Tensor, leaves: tuple[torch.Tensor, ...]) -> NDArray[np.float64]:
    if not rise.requires_grad:  # a loss that is linear in the weights
        return np.zeros(sum(leaf.numel() for leaf in leaves))
    try:
        parts = torch.autograd.grad(rise, leaves, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        if not any(words in str(error) for words in _UNDIFFERENTIABLE):
            raise
        raise SurfaceError(
            f"part of the model has no second derivative ({str(error).splitlines()[0]}); take plane='pca' or 'random'"
        ) from error
    return np.concatenate([part.detach().cpu().double().numpy().ravel() for part in parts])


def _lanczos(product: Product, size: int, count: int, tolerance: float) -> tuple[NDArray[np.float64], ...]:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    start = np.random.default_rng(0).standard_normal(size)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    room = min(_ROOM, size - 1)
    try:
        values, vectors = eigsh(
            operator, k=count, which="LA", v0=start, ncv=room, tol=tolerance, maxiter=_MOST // (room - count)
        )
    except ArpackNoConvergence as error:
        raise SurfaceError(
            f"the sharpest directions were not found in {_MOST} products with the Hessian ({len(error.eigenvalues)} of "
            f"{count} converged): the curvature is the same in many directions, or too noisy for the weights' "
            "precision; take a trained center, model.double(), or plane='pca'"
        ) from error
    return values, vectors


def _precision(center: Tensors) -> float:
    """Return the relative error of an eigenvalue that is worth reaching in the weights' own precision."""
    eps = max(torch.finfo(tensor.dtype).eps for tensor in center.values())
    return max(1e-10, 30 * eps)


def _symmetric(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return (matrix + matrix.T) / 2


def _shaped(flat: NDArray[np.float64], center: Tensors) -> Tensors:
    """Return a flat vector by parameter name."""
    parts = torch.from_numpy(np.array(flat)).split([tensor.numel() for tensor in center.values()])
    return {n: part.reshape(each.shape).to(each) for (n, each), part in zip(center.items(), parts, strict=True)}
