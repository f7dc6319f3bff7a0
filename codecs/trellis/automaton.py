"""Automata that pick tables by the levels before: what firmware follows in place of a running magnitude.

The sign and size of the level just before tells most, so that the usual automaton has a state for each class of it.
Another one remembers a little longer whether levels are large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

Rule = tuple[tuple[int, ...], tuple[int, ...]]
"""Thresholds of a value, and the state that follows by how many of them are not above it: one more."""

Automaton = tuple[Rule, ...]
"""A rule for each state, or one for all."""

ONE_STATE: Automaton = (((), (0,)),)

NARROW, WIDE = (0.3, 0.5, 0.8), (1.2, 1.7, 2.3, 3.0)
"""Magnitudes over their mean at which levels are no longer small, and are large."""

STRIDE, LEAST_GAIN = 2, 0.001
"""How far a threshold is moved, and the fraction of the bits that a round of changes must save for another."""

MOST_THRESHOLD = 127


def states_of(automaton: Automaton) -> int:
    """How many states there are."""
    return max(state for _, following in automaton for state in following) + 1


def rules_of(automaton: Automaton) -> list[Rule]:
    """The rule of each state."""
    return list(automaton) * (states_of(automaton) if len(automaton) == 1 else 1)


def candidates(mean: float) -> Iterator[tuple[Automaton, int]]:
    """Automata for values of this mean magnitude, and the state that each starts in."""
    yield ONE_STATE, 0
    smalls = sorted({max(1, round(share * mean)) for share in NARROW})
    for small in smalls:
        yield _classes(small), 1
        for large in sorted({small + 1, small + 2, *(max(small + 1, round(share * mean)) for share in WIDE)}):
            yield _classes(small, large), 2
            yield _remembering(small, large), 1 if mean < small else 4
    for large in sorted({max(1, round(share * mean)) for share in (*NARROW, *WIDE)}):
        yield _loud(large), 0
        yield _loud(large, 2 * large + 1), 0
    yield _classes(smalls[0], *(smalls[0] + max(k, round(k * 0.8 * mean)) for k in (1, 2))), 3


def _classes(*limits: int) -> Automaton:
    """By the class of the value before: within the first limit, and either side of it up to each other one."""
    below = tuple(1 - limit for limit in reversed(limits))
    return (((*below, *limits), tuple(range(2 * len(limits) + 1))),)


def _loud(*limits: int) -> Automaton:
    """By the magnitude of the value before alone: below the first limit, the second, and beyond."""
    limits = tuple(min(limit, MOST_THRESHOLD - len(limits) + i) for i, limit in enumerate(limits))
    states = range(len(limits) + 1)
    return (((*(1 - limit for limit in reversed(limits)), *limits), (*reversed(states), *states[1:])),)


def _remembering(small: int, large: int) -> Automaton:
    """Six states: by the sign of the value before, among quiet ones and among loud ones.

    A large value makes it loud, a second small one in turn quiet.
    """
    thresholds = (1 - large, 1 - small, small, large)  # of values that are large, negative; medium; small; …
    quiet = (thresholds, (3, 0, 1, 2, 5))
    loud = (thresholds, (3, 3, 4, 5, 5))
    return (quiet, quiet, quiet, loud, quiet, loud)


def best_automaton(mean: float, most: int, cost: Callable[[Automaton, int], float]) -> tuple[Automaton, int]:
    """The cheapest of those that are tried, and the state to start in.

    Args:
        mean: of the magnitudes of the values.
        most: states.
        cost: of an automaton and its first state, in bits; infinite where tables would take too much.
    """
    tried = [each for each in candidates(mean) if states_of(each[0]) <= most and _can_be_told(each[0])]
    return min(tried, key=lambda each: cost(*each))


def _can_be_told(automaton: Automaton) -> bool:
    """Whether a stream has thresholds that large."""
    return all(abs(threshold) <= MOST_THRESHOLD for thresholds, _ in automaton for threshold in thresholds)


def climbed(automaton: Automaton, tries: int, cost: Callable[[Automaton], float]) -> Automaton:
    """A cheaper automaton of as many states, by small changes of one rule at a time while any of them pays.

    Args:
        automaton: where to begin.
        tries: most automata that are looked at.
        cost: of an automaton in bits; infinite where tables would take too much.
    """
    if states_of(automaton) == 1:
        return automaton
    rules = tuple(rules_of(automaton))
    bits = cost(rules)
    while tries > 0:
        before = bits
        for state in range(len(rules)):
            for rule in _neighbours(rules[state], len(rules)):
                other = (*rules[:state], rule, *rules[state + 1 :])
                if rule != rules[state] and states_of(other) == len(rules) and tries > 0:
                    tries -= 1
                    if (found := cost(other)) < bits:
                        rules, bits = other, found
        if bits >= before * (1 - LEAST_GAIN):
            break
    return rules if bits < cost(automaton) else automaton


def _neighbours(rule: Rule, states: int) -> Iterator[Rule]:
    """Rules with one threshold a little to the side, or with one other state that follows."""
    thresholds, following = rule
    for i, threshold in enumerate(thresholds):
        low = thresholds[i - 1] + 1 if i else -MOST_THRESHOLD
        high = thresholds[i + 1] - 1 if i + 1 < len(thresholds) else MOST_THRESHOLD
        for moved in range(max(low, threshold - STRIDE), min(high, threshold + STRIDE) + 1):
            yield (*thresholds[:i], moved, *thresholds[i + 1 :]), following
    for i in range(len(following)):
        for state in range(states):
            yield thresholds, (*following[:i], state, *following[i + 1 :])
