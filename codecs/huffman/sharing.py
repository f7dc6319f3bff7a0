"""Which tensors share code tables: grouping by histogram, every byte of a table counted.

A table of its own costs a tensor some 10 bytes where levels are symmetric, and 30 to 250 where symbols are listed; a
shared one costs it an index of one byte, and codes a little longer. Histograms are grouped by leaders, one after the
other; then tables and members are improved in turn (as Lloyd's algorithm does with centroids), and tables are dropped
while that makes the whole smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from neuralcodec.codec import SharedObject, Shares
from neuralcodec.codecs.huffman.tables import ABSENT, Counts, Table, best
from neuralcodec.logarithm import FRACTION, log2
from neuralcodec.varint import varint

CODE_TABLE = 1
"""Kind of a shared object."""

MOST_TABLES = 48
ROUNDS = 4
NEVER = 1 << 60


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A place in a payload where a table belongs: that of the levels, or of one plane.

    Attributes:
        single: counts of the bytes.
        pairs: counts of pairs of levels, if these are possible.
        zeros: counts with two levels 0 as one symbol, if that may pay; such tables are not shared.
        stored: bits without any table, for planes.
    """

    single: Counts
    pairs: Counts | None = None
    zeros: Counts | None = None
    stored: int = NEVER


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What sharing must know of a tensor.

    Attributes:
        slots: one for levels; for lossless mode one a plane.
        fixed: bits of the payload that depend on no table.
        raw: bits of the elements, to which the planner falls back where a lossless payload is not shorter.
    """

    slots: tuple[Slot, ...]
    fixed: int
    raw: int = NEVER


@dataclass(frozen=True, slots=True)
class Hint:
    """For each slot of a tensor the index of a shared object and the table it holds, or None for a table of its own."""

    slots: tuple[tuple[int, Table] | None, ...]


@dataclass(slots=True)
class _Group:
    """A table on trial: the histograms it is made from, and what it costs."""

    pairs: bool
    counts: Counts
    table: Table | None = None
    members: list[int] = field(default_factory=list)

    def refit(self) -> None:
        found = best(self.counts, pairs=self.pairs)
        self.table = found[1] if found is not None else None

    def bits(self) -> int:
        """Table, and its record in the directory."""
        assert self.table is not None
        size = self.table.size()
        return 8 * (size + 1 + len(varint(size)) + 4)


@dataclass(frozen=True, slots=True, eq=False)
class _Alone:
    """Bits without sharing: ``own`` and ``owner`` (index of the tensor) for each slot, the others for each tensor."""

    own: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int64]
    fixed: npt.NDArray[np.int64]
    raw: npt.NDArray[np.int64]

    def slots(self, costs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Bits of each slot, at its best, when it may choose from tables at these costs, shape [slots, tables]."""
        least: npt.NDArray[np.int64] = np.minimum(self.own, costs.min(axis=1, initial=NEVER))
        return least

    def tensors(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Bits of each tensor, coded, with slots of so many bits."""
        out: npt.NDArray[np.int64] = self.fixed.copy()
        np.add.at(out, self.owner, slots)
        return out


def share(surveys: Mapping[str, Survey], first: int) -> Shares:
    """Decides what is shared; see :meth:`neuralcodec.codec.Sharing.share`."""
    names = sorted(surveys)
    places = [(t, s) for t, name in enumerate(names) for s in range(len(surveys[name].slots))]
    slots = [surveys[names[t]].slots[s] for t, s in places]
    alone = _Alone(
        own=np.array([_own_bits(slot) for slot in slots], np.int64),
        owner=np.array([t for t, _ in places], np.int64),
        fixed=np.array([surveys[name].fixed for name in names], np.int64),
        raw=np.array([surveys[name].raw for name in names], np.int64),
    )
    groups = _lead(slots, alone.own, pairs=False) + _lead(slots, alone.own, pairs=True)
    for _ in range(ROUNDS):
        groups = _pruned(groups, _costs(slots, groups, first), alone)
        _assign(groups, _costs(slots, groups, first), alone)
        groups = _refitted(groups, slots)
    groups = _pruned(groups, _costs(slots, groups, first), alone)
    _assign(groups, _costs(slots, groups, first), alone)
    groups = [group for group in groups if group.members]

    groups.sort(key=lambda group: (-len(group.members), group.members))
    chosen: dict[int, dict[int, tuple[int, Table]]] = {}
    objects: list[SharedObject] = []
    for index, group in enumerate(groups, first):
        assert group.table is not None
        objects.append(SharedObject(CODE_TABLE, group.table.serialize()))
        for member in group.members:
            t, s = places[member]
            chosen.setdefault(t, {})[s] = (index, group.table)
    hints = {}
    for t, of in sorted(chosen.items()):
        hints[names[t]] = Hint(tuple(of.get(s) for s in range(len(surveys[names[t]].slots))))
    return Shares(tuple(objects), hints)


def _own_bits(slot: Slot) -> int:
    """Bits of a slot with a table of its own, or stored."""
    found = [
        best(slot.single),
        best(slot.pairs, pairs=True) if slot.pairs is not None else None,
        best(slot.zeros, zeros=True) if slot.zeros is not None else None,
    ]
    return min(slot.stored, *(bits for bits, _ in filter(None, found)), NEVER)


def _view(slot: Slot, pairs: bool) -> Counts | None:
    counts = slot.pairs if pairs else slot.single
    # A constant code costs four bytes and no data: there is nothing to share.
    return counts if counts is not None and np.count_nonzero(counts) > 1 else None


def _estimate(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """About the bits of histograms, shape [..., 256], each with a table of its own; in units of 2^-16 bits.

    The sums are of integers, so that every machine groups alike.
    """
    total = counts.sum(-1)
    bits: npt.NDArray[np.int64] = total * log2(total) - (counts * log2(counts)).sum(-1)
    bits += 8 * (12 + (counts > 0).sum(-1)) << FRACTION
    return bits


def _lead(slots: list[Slot], own: npt.NDArray[np.int64], pairs: bool) -> list[_Group]:
    """Goes through the histograms, the largest first: each joins the group that it costs least, or opens one."""
    seen = [(i, counts) for i, slot in enumerate(slots) if (counts := _view(slot, pairs)) is not None]
    seen.sort(key=lambda item: (-int(item[1].sum()), item[0]))
    sums = np.zeros((0, 256), np.int64)
    bits = np.zeros(0, np.int64)
    members: list[list[int]] = []
    for i, counts in seen:
        if len(sums):
            merged = _estimate(sums + counts)
            growth = merged - bits
            g = int(np.argmin(growth))
            if growth[g] + (8 << FRACTION) < min(int(own[i]), NEVER >> FRACTION) << FRACTION:
                sums[g] += counts
                bits[g] = merged[g]
                members[g].append(i)
                continue
        if len(sums) < MOST_TABLES:
            sums = np.concatenate([sums, counts[None]])
            bits = np.append(bits, _estimate(counts))
            members.append([i])
    groups = [_Group(pairs, s, members=m) for s, m in zip(sums, members, strict=True) if len(m) > 1]
    for group in groups:
        group.refit()
    return [group for group in groups if group.table is not None]


def _costs(slots: list[Slot], groups: list[_Group], first: int) -> npt.NDArray[np.int64]:
    """Bits of each slot with the table of each group, index included; shape [slots, groups]."""
    out = np.full((len(slots), len(groups)), NEVER, np.int64)
    for pairs in (False, True):
        columns = [g for g, group in enumerate(groups) if group.pairs == pairs]
        lines = [(i, counts) for i, slot in enumerate(slots) if (counts := _view(slot, pairs)) is not None]
        if not columns or not lines:
            continue
        lengths = np.stack([t.by_symbol() for g in columns if (t := groups[g].table) is not None], axis=1)
        bits = np.stack([counts for _, counts in lines]) @ lengths
        impossible = np.stack([counts > 0 for _, counts in lines]) @ (lengths == ABSENT)
        index = np.array([8 * len(varint(first + g)) for g in columns])
        out[np.ix_([i for i, _ in lines], columns)] = np.where(impossible, NEVER, bits + index)
    return out


def _pruned(groups: list[_Group], costs: npt.NDArray[np.int64], alone: _Alone) -> list[_Group]:
    """Drops the group whose loss saves most, again and again, while any does."""
    left = list(range(len(groups)))

    def total(of: list[int]) -> int:
        tensors = np.minimum(alone.tensors(alone.slots(costs[:, of])), alone.raw)
        return int(tensors.sum()) + sum(groups[g].bits() for g in of)

    least = total(left)
    while left:
        trial, g = min((total([other for other in left if other != g]), g) for g in left)
        if trial > least:  # at equal size the simpler stream
            break
        least = trial
        left.remove(g)
    return [groups[g] for g in left]


def _assign(groups: list[_Group], costs: npt.NDArray[np.int64], alone: _Alone) -> None:
    """Gives each group the slots that it serves best."""
    for group in groups:
        group.members = []
    if not groups:
        return
    coded = alone.tensors(alone.slots(costs)) < alone.raw
    for i, g in enumerate(np.argmin(costs, axis=1)):
        if costs[i, g] < alone.own[i] and coded[alone.owner[i]]:
            groups[int(g)].members.append(i)


def _refitted(groups: list[_Group], slots: list[Slot]) -> list[_Group]:
    """New tables, each from what its group now has."""
    kept = []
    for group in groups:
        views = [counts for i in group.members if (counts := _view(slots[i], group.pairs)) is not None]
        if not views:
            continue
        group.counts = np.sum(views, axis=0)
        group.refit()
        if group.table is not None:
            kept.append(group)
    return kept
