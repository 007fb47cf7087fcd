"""Assertions about a training run, for your own tests. Each says which layer, which step, and what to look at next.

assert_gradients_flow(trace, minimum=1e-6)          every layer gets a gradient, finite and large enough
assert_no_dead_units(trace, layers="*.relu")        no unit says the same whatever it is shown
assert_finite(trace)                                no NaN, no infinity: the first one is named
assert_captures_match(model, criterion, batch)      what is recorded of a model is what autograd computes
assert_chain_rule(trace)                            each gradient follows from the next one
assert_updates_match(trace)                         each update is what the optimizer's rule makes of the gradient

The pytest plugin adds the fixture `record_trace`. The page docs/testing.md has three complete tests.
"""

from explainer.testing.finiteness import assert_finite
from explainer.testing.gradients import assert_gradients_flow
from explainer.testing.liveliness import assert_no_dead_units
from explainer.testing.verified import assert_captures_match, assert_chain_rule, assert_updates_match

__all__ = [
    "assert_captures_match",
    "assert_chain_rule",
    "assert_finite",
    "assert_gradients_flow",
    "assert_no_dead_units",
    "assert_updates_match",
]
