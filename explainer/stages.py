"""A recorded model in a dozen stages at most: what a diagram draws of it. Plain data, computed from `trace.model`.

A stage is a run of layers in forward order. The finest stages are one layer with a weight matrix each and what follows
it up to the next (norm, activation, dropout, pooling); where those are too many, they are put together by their
qualified names: `layer1.0.conv1` and `layer1.0.conv2` become `layer1.0`, and that with `layer1.1` becomes `layer1`.
Nothing looks at a layer's class: shapes and names decide.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from explainer.architecture import INPUT, LOSS, Layer, Model

UNITS, MAPS, BLOCK = "units", "maps", "block"  # the kinds of stages


@dataclass(frozen=True)
class Skip:
    """An arrow that skips: the output of one stage goes past others.

    Attributes:
        start: The index of the stage that it leaves.
        end: The index of the stage that it comes to.
        after: Whether it meets what has gone through stage `end` (a residual connection around it); else it enters it.
    """

    start: int
    end: int
    after: bool


@dataclass(frozen=True)
class Stage:
    """A run of layers that is drawn as one thing; the first stage of a model is its input, which has no layers.

    Attributes:
        name: What its layers' qualified names have in common ("layer1.0"), or a range ("features.0–5"), or "input"
            (`Model.input_name`).
        kind: "units" of one number each, "maps" (feature maps of a convolution), or "block": several layers with
            weights, or an output that is neither of the two.
        type: The class of its only layer with weights, such as "Conv2d"; without one that of its last layer; "" where
            there are several.
        shape: Of one example's output: (unit,), (channel, row, column), (token, feature), ….
        channels_last: Whether that is (row, column, channel).
        count: How many units or channels, or numbers in all for other shapes.
        members: Its layers in forward order, as in `trace.layers`.
        weighted: Those of them that have a weight matrix or a kernel.
        fed_by: The indices of the stages that it reads, or reads a sum from that they have read.
        skips: The arrows that skip and end here.
        parameter_count: The numbers that its layers learn.
    """

    name: str
    kind: str
    type: str
    shape: tuple[int, ...]
    count: int
    members: tuple[str, ...] = ()
    weighted: tuple[str, ...] = ()
    fed_by: tuple[int, ...] = ()
    skips: tuple[Skip, ...] = field(default=())
    parameter_count: int = 0
    channels_last: bool = False

    @property
    def output(self) -> str:
        """The layer whose output is the stage's, as in `trace.activations` and `trace.gradients`; at first its name."""
        return self.members[-1] if self.members else self.name

    @property
    def title(self) -> str:
        """What stands beside it on screen: its name, or where that is only a number ("3"), its class.

        Only the model's own input is called "input" there, and only the loss "loss": a layer of that name has its class
        beside it.
        """
        if not self.members:
            return INPUT
        if self.name in (INPUT, LOSS):
            return f"{self.name} ({self.type})" if self.type else f"layers {self.name}"
        return self.name if any(letter.isalpha() for letter in self.name) else self.type or f"layers {self.name}"


def stages(model: Model, most: int = 12) -> tuple[Stage, ...]:
    """Put a recorded model's layers together to at most so many stages, in forward order, the input first.

    Take `trace.activations[stage.output]` for what a stage passes on, and `trace.gradients[stage.output]` for what
    comes back to it. Layers that were never called are in none.

    Args:
        model: `trace.model`.
        most: How many stages there may be, the input among them; at least 2.
    """
    layers = {name: layer for name, layer in model.layers.items() if layer.output_shape is not None}
    own_input = model.input_name
    known = {*layers, own_input}
    feeders = {name: _feeders(layer, known) for name, layer in layers.items()}
    groups = _fewer(_finest(layers, feeders), max(most - 1, 1))
    found = [_input_stage(layers, own_input)]
    stage_of = {own_input: 0} | {name: place for place, group in enumerate(groups, 1) for name in group}
    ancestors, read = _ancestors(feeders, own_input), _sums_passed_on(feeders)
    counted: set[str] = set()
    for place, group in enumerate(groups, 1):
        fed_by = {stage_of[each] for name in group for each in read[name]} - {place}
        skips = _skips(layers, read, group, place, stage_of, ancestors)
        fresh = {key: shape for name in group for key, shape in layers[name].parameters.items() if key not in counted}
        counted |= set(fresh)
        weights = sum(math.prod(shape) for shape in fresh.values())
        found.append(_stage(layers, group, tuple(sorted(fed_by)), skips, weights))
    return tuple(found)


# ── one stage ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _input_stage(layers: Mapping[str, Layer], own_input: str) -> Stage:
    readers = [layer for layer in layers.values() if own_input in layer.fed_by] or list(layers.values())[:1]
    shape = next((layer.input_shape[1:] for layer in readers if layer.input_shape), ())
    return Stage(own_input, _picture(shape), "", shape, _count(shape))


def _stage(
    layers: Mapping[str, Layer], group: Sequence[str], fed_by: tuple[int, ...], skips: tuple[Skip, ...], weights: int
) -> Stage:
    weighted = tuple(name for name in group if _has_matrix(layers[name]))
    others = [name for name, layer in layers.items() if name not in group and _has_matrix(layer)]
    shape = (layers[group[-1]].output_shape or ())[1:]
    last = _channels_last(layers, group, shape)
    return Stage(
        name=_common_name(weighted or group[:1], others),
        kind=_picture(shape[-1:] + shape[:-1] if last else shape) if len(weighted) <= 1 else BLOCK,
        type="" if len(weighted) > 1 else layers[weighted[0] if weighted else group[-1]].type,
        shape=shape,
        count=shape[-1] if last else _count(shape),
        members=tuple(group), weighted=weighted, fed_by=fed_by, skips=skips, parameter_count=weights,
        channels_last=last,
    )  # fmt: skip


def _channels_last(layers: Mapping[str, Layer], group: Sequence[str], shape: tuple[int, ...]) -> bool:
    """Say whether maps are (row, column, channel): the last layer that learns knows how many channels it has."""
    learning = [shapes for name in reversed(group) for shapes in [[*layers[name].parameters.values()]] if shapes]
    made = learning[0][0][0] if learning and learning[0][0] else None
    return len(shape) == 3 and made == shape[2] and made != shape[0]


def _picture(shape: tuple[int, ...]) -> str:
    """Return what one example's output looks like."""
    if len(shape) == 1 or (len(shape) == 3 and shape[1:] == (1, 1)):
        return UNITS
    return MAPS if len(shape) == 3 else BLOCK


def _count(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) in (1, 3) else math.prod(shape)


def _has_matrix(layer: Layer) -> bool:
    """Say whether a layer mixes its inputs; a norm's parameters are one number a channel."""
    return any(len(shape) > 1 for shape in layer.parameters.values())


def _common_name(names: Sequence[str], others: Iterable[str]) -> str:
    """Return the module that holds just these layers, or from which to which of a module's parts they go."""
    if len(names) == 1:
        return names[0]
    paths = [_path(name) for name in names]
    shared = _shared(paths)
    if shared and not any(_path(other)[: len(shared)] == shared for other in others):
        return ".".join(shared)
    first, last = ([*path[len(shared) :], "0"][0] for path in (paths[0], paths[-1]))
    return ".".join((*shared, f"{first}–{last}" if first != last else first))


def _shared(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    shortest = min(paths, key=len)
    same = next((at for at, part in enumerate(shortest) if any(path[at] != part for path in paths)), len(shortest))
    return shortest[:same]


def _path(name: str) -> tuple[str, ...]:
    """Return a layer's modules from the outermost; a later call of a module ("cell:1") is below it."""
    module, _, call = name.partition(":")
    return (*module.split("."), f":{call}") if call else tuple(module.split("."))


# ── from the finest stages to fewer ───────────────────────────────────────────────────────────────────────────────────


def _finest(layers: Mapping[str, Layer], feeders: Mapping[str, list[str]]) -> list[list[str]]:
    """Begin a stage at each layer with a weight matrix, and where maps become a row of numbers."""
    groups: list[list[str]] = []
    for name, layer in layers.items():
        before = groups[-1][-1] if groups else None
        if before in feeders[name] and not _has_matrix(layer) and not _becomes_a_row(layers[before], layer):
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _becomes_a_row(before: Layer, after: Layer) -> bool:
    first, second = (_picture((layer.output_shape or ())[1:]) for layer in (before, after))
    return second == UNITS and first != UNITS


def _fewer(groups: list[list[str]], room: int) -> list[list[str]]:
    """Put stages together by their names, from the deepest modules outwards, until there is room for all.

    Where one level has too many and the next hardly any (twelve equal layers in one list), neighbours of the finer
    level are put together evenly.
    """
    named = [(_path(_leader(group)), group) for group in groups]
    deepest = max((len(path) for path, _ in named), default=1) - 1
    finer = named
    for depth in [None, *range(deepest, 0, -1)]:
        level = named if depth is None else _at_depth(named, depth)
        if len(level) <= room:
            coarse = len(level) < min(len(finer), room + 1) / 2
            return [group for _, group in (_evenly(finer, room) if coarse else level)]
        finer = level
    return [group for _, group in _evenly(finer, room)]


Named = tuple[tuple[str, ...], list[str]]  # a stage's modules from the outermost, and its layers


def _leader(group: Sequence[str]) -> str:
    """Return the layer after which a stage is called: its first with weights is always its first."""
    return group[0]


def _at_depth(named: Sequence[Named], depth: int) -> list[Named]:
    """Put neighbours together that are in one module of this depth."""
    merged: list[Named] = []
    for path, group in named:
        if merged and len(path) > depth and merged[-1][0][:depth] == path[:depth]:
            merged[-1] = (path[:depth], merged[-1][1] + group)
        else:
            merged.append((path[:depth] if len(path) > depth else path, list(group)))
    return merged


def _evenly(named: list[Named], room: int) -> list[Named]:
    """Put neighbours together evenly: those of the longest run in one module first, at last whoever is beside."""
    while len(named) > room:
        start, stop = _longest_run(named)
        if stop - start < 2:
            start, stop = 0, len(named)
        parts = max(stop - start - (len(named) - room), 1)
        edges = [start + round(part * (stop - start) / parts) for part in range(parts + 1)]
        together = [_together(named[first:last]) for first, last in pairwise(edges)]
        named = named[:start] + together + named[stop:]
    return named


def _longest_run(named: Sequence[Named]) -> tuple[int, int]:
    """Return from where to where the most neighbours are children of one module."""
    best, start = (0, 0), 0
    for place in range(1, len(named) + 1):
        if place == len(named) or named[place][0][:-1] != named[start][0][:-1]:
            best = max(best, (start, place), key=lambda run: run[1] - run[0])
            start = place
    return best


def _together(part: Sequence[Named]) -> Named:
    (first, _), *_ = part
    return (first if len(part) == 1 else (*first, "")), [name for _, group in part for name in group]


# ── who feeds whom ────────────────────────────────────────────────────────────────────────────────────────────────────


def _feeders(layer: Layer, known: Container[str]) -> list[str]:
    """Return the layers that a layer reads; a further output ("lstm[1]") is its layer's."""
    read = (each if each in known else each.partition("[")[0] for each in layer.fed_by)
    return [each for each in dict.fromkeys(read) if each in known]


def _ancestors(feeders: Mapping[str, Sequence[str]], own_input: str) -> dict[str, frozenset[str]]:
    """Return per layer itself and all layers before it that it depends on; the input is none."""
    found: dict[str, frozenset[str]] = {own_input: frozenset()}
    for name, read in feeders.items():
        found[name] = frozenset({name}).union(*(found.get(each, frozenset()) for each in read))
    return found


def _sums_passed_on(feeders: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return what each layer reads, with the layer that read a sum before in the place of what was added.

    In a transformer no module sees the sum that runs past its blocks: each block would read all before it.
    """
    found: dict[str, list[str]] = {}
    sums: list[tuple[str, frozenset[str]]] = []
    for name, read in feeders.items():
        whole = frozenset(read)
        earlier = max((each for each in sums if each[1] < whole), key=lambda each: len(each[1]), default=None)
        found[name] = [earlier[0], *(each for each in read if each not in earlier[1])] if earlier else [*read]
        if len(whole) > 1:
            sums.append((name, whole))
    return found


def _skips(
    layers: Mapping[str, Layer],
    read: Mapping[str, Sequence[str]],
    group: Sequence[str],
    place: int,
    stage_of: Mapping[str, int],
    ancestors: Mapping[str, frozenset[str]],
) -> tuple[Skip, ...]:
    """Return the arrows that skip and end in a stage."""
    found: dict[Skip, None] = {}
    sources = {stage_of[each] for name in group for each in read[name]} - {place}
    for name in group:
        inside = [each for each in read[name] if stage_of[each] == place]
        for each in read[name]:
            start = stage_of[each]
            if start < place and (inside or start < place - 1):
                found[Skip(start, place, bool(inside))] = None
        if sources and len(inside) > 1 and _goes_past(layers[name], inside, ancestors):
            found[Skip(max(sources), place, True)] = None
    return tuple(found)


def _goes_past(layer: Layer, feeders: Sequence[str], ancestors: Mapping[str, frozenset[str]]) -> bool:
    """Say whether ways that meet in a layer, all of them in its own stage, part within the network: a residual sum."""
    added = any(each.startswith("AddBackward") for each in layer.unseen)
    pairs = [(one, other) for one in feeders for other in feeders if one != other]
    return any(one in ancestors[other] or (added and ancestors[one] & ancestors[other]) for one, other in pairs)
