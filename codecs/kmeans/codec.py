"""The codec's options, and what it does with a tensor."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from neuralcodec.codec import SharedObject, Shares
from neuralcodec.codecs.huffman.levels import pack_codes
from neuralcodec.codecs.huffman.tiles import MOST, tile_length
from neuralcodec.codecs.kmeans import book, cluster, coding, frequencies
from neuralcodec.codecs.kmeans.book import Centroids
from neuralcodec.codecs.kmeans.coding import Coding
from neuralcodec.codecs.kmeans.quantize import (
    Book,
    Rule,
    Sample,
    assign,
    cancelled,
    counted_scaled,
    divide,
    fit,
    penalty_of,
    sample,
)
from neuralcodec.codecs.kmeans.scales import Scales, of_rows, of_tensor
from neuralcodec.codecs.shaping import together
from neuralcodec.errors import SourceError
from neuralcodec.options import check_choice, check_flag, check_integer, check_number
from neuralcodec.payload import decode_payload
from neuralcodec.tensor import Tensor, TensorSpec
from neuralcodec.varint import varint
from neuralcodec.weights import TINIEST, energy_of, finite_weights, largest_weight, norm_gain, within_float32

DEFAULT_CLUSTERS = 16
MOST_CLUSTERS = 256

TABLE_SHARED, SCALES, BOOK_SHARED, GROUPS, STEP = 4, 8, 16, 32, 64
"""Bits of the mode."""

CODEBOOK = 3
"""Kind of a shared object."""

REFUSAL = "centroids cannot stand for"
"""What errors say of weights that are not finite."""


@dataclass(frozen=True)
class KMeans:
    """Weight sharing: each weight is one of a few values of a codebook, found by optimal k-means.

    Han, Mao and Dally, "Deep Compression", ICLR 2016. A tensor that has no more distinct values than ``clusters`` keeps
    them, as far as the type of the centroids can express them.

    Attributes:
        clusters: 1 to 256 centroids in a codebook; None for 16, and for up to 256 where a target is to be met.
        zero: one centroid is exactly 0, so that pruned weights stay 0.
        centroids: type of the centroids: "fp32", "fp16" ("fp32" where weights are beyond its range, or all too small
            for its precision), "bf16", or "int8" for levels that int8 kernels take as they are: then a tile decodes
            straight to int8.
        coding: of the indices: "fixed" width for the fastest decoder, "huffman", "rans" for the fewest bits, "auto"
            for the shortest of the three.
        scale: "tensor": clusters are those of the weights; "row": of weights divided by the size of their row (output
            channel), which serves layers whose rows differ in size, at 4 to 6 bits a row.
        group: rows that share a codebook; None for one codebook for all.
        shared: one codebook for all tensors, of their weights divided by the size of their tensor (or row).
        entropy: rate enters the assignment: minimizes D + λR with λ = ``entropy`` times the variance of the tensor
            and R in bits a weight (Chou, Lookabaugh and Gray 1989). Sensible values are 0.001 to 0.5.
        step: minimizes D + λR with λ = 2 ln 2 · step²/12: about the distortion of a uniform quantizer with this
            step, whatever the tensor. Set by a target; ``entropy`` then does nothing.
        reconstruction: "norm" gives decoded tensors the norm that they had (Banner, Nahshan and Soudry 2019): means are
            smaller than what they stand for, and weights that shrink layer after layer cost accuracy. "error" leaves
            the means, for the least squared error.
        shaping: whether the errors of a row, all of which meet in one output, are made to cancel, as in codec trellis;
            some weights get the centroid next to theirs for it. None for where ``reconstruction`` is "norm".
        table_bits: 8 to 12: a table for rANS has at most 2^table_bits slots, of four bytes each in a decoder's memory.
        tile: most weights in a tile, 1 to 65,535; None for 2,048 in tensors of up to a million weights and 4,096 in
            larger ones.

    Raises:
        ValueError: an option out of its range.
    """

    name: ClassVar[str] = "kmeans"
    number: ClassVar[int] = 3
    weighted: ClassVar[bool] = True

    clusters: int | None = None
    zero: bool = False
    centroids: Centroids = "fp16"
    coding: Coding = "auto"
    scale: Literal["row", "tensor"] = "tensor"
    group: int | None = None
    shared: bool = False
    entropy: float = 0.0
    step: float | None = None
    reconstruction: Literal["norm", "error"] = "norm"
    shaping: bool | None = None
    table_bits: int = 10
    tile: int | None = None

    def __post_init__(self) -> None:
        check_integer("clusters", self.clusters, 1, MOST_CLUSTERS)
        check_integer("tile", self.tile, 1, MOST)
        check_integer("table_bits", self.table_bits, frequencies.FEWEST, frequencies.MOST)
        check_integer("group", self.group, 1, 2**32 - 1)
        check_choice("centroids", self.centroids, get_args(Centroids))
        check_choice("coding", self.coding, get_args(Coding))
        check_choice("scale", self.scale, ("row", "tensor"))
        check_choice("reconstruction", self.reconstruction, ("norm", "error"))
        check_flag("shaping", self.shaping, may_be_open=True)
        check_number("entropy", self.entropy, 0)
        if self.step is not None:
            check_number("step", self.step, TINIEST)
        if self.shared and self.group is not None:
            raise ValueError("group: a codebook for groups of rows cannot be shared by tensors")
        if self.zero and self.clusters == 1:
            raise ValueError("clusters: at least 2 expected where one centroid is 0")

    @property
    def lossy(self) -> bool:
        """Whether decoded weights may differ: always."""
        return True

    def with_step(self, step: float) -> KMeans:
        """The same codec at the distortion of a uniform quantizer with this step."""
        return replace(self, step=within_float32(step))

    def encode(self, tensor: Tensor) -> bytes:
        """The payload of a tensor.

        Raises:
            SourceError: weights that are NaN, infinite, or beyond the range of float32.
        """
        return self._encode(tensor, None)

    def decode(self, payload: bytes, spec: TensorSpec, shared: Sequence[SharedObject]) -> Tensor:
        """The tensor of a payload, by the C decoder.

        Raises:
            CorruptError, UnsupportedError, ChecksumError: the payload breaks a rule of the format.
        """
        return decode_payload(payload, self.number, spec, shared)

    def survey(self, tensor: Tensor) -> Sample | None:
        """The weights in short, where a codebook is to be shared; None for one that cannot be encoded, or is all 0.

        At no step would a shared codebook without a 0 give that.
        """
        if not self.shared or not tensor.spec.size:
            return None
        try:
            weights = finite_weights(tensor, REFUSAL)
        except SourceError:
            return None
        if not weights.any():
            return None
        found = of_rows(weights) if self.scale == "row" else of_tensor(weights)
        # Errors count in squares of the step, so that tensors of other steps can be beside this one; by ``entropy``
        # in those of the tensor itself.
        own = self.step is None and self.entropy > 0
        return sample(divide(weights, found), 1.0 if own else (found.step / (self.step or 1.0)) ** 2)

    def share(self, surveys: Mapping[str, object], first: int) -> Shares:
        """One codebook for all tensors."""
        samples = [each for _, each in sorted(surveys.items()) if isinstance(each, Sample)]
        if not samples:
            return Shares((), {})
        # The largest tensor's error counts 1: squares of steps may be beyond what floats express.
        values = np.concatenate([each.values for each in samples])
        counts = np.concatenate([each.weights for each in samples])
        penalty = penalty_of(None if self.step is None else 1.0, self.entropy, values)  # samples are in steps
        (found,) = fit([(values, counts)], self._rule, penalty)
        whole = padded(found, self.coding in {"fixed", "auto"})
        data = book.serialize(whole.values[None], self.centroids)
        return Shares((SharedObject(CODEBOOK, data),), {name: Hint(first, whole) for name in surveys})

    def encode_shared(self, tensor: Tensor, hint: object) -> bytes:
        """As :meth:`encode`, with the codebook of a hint."""
        if not isinstance(hint, Hint):
            raise TypeError(f"hint: one that share() made expected, not {type(hint).__name__}")
        return self._encode(tensor, hint)

    @property
    def _rule(self) -> Rule:
        most = self.clusters or (DEFAULT_CLUSTERS if self.step is None else MOST_CLUSTERS)
        return Rule(most, self.zero, self.centroids)

    def _encode(self, tensor: Tensor, hint: Hint | None) -> bytes:
        spec = tensor.spec
        if not spec.size:
            return b""
        weights = finite_weights(tensor, REFUSAL)
        scales = of_rows(weights) if self.scale == "row" else of_tensor(weights) if hint is not None else None
        if scales is None and self.centroids == "fp16" and not _in_fp16(weights):
            return replace(self, centroids="fp32")._encode(tensor, None)
        values, importance = divide(weights, scales), counted_scaled(tensor, scales)
        penalty = penalty_of(self.step, self.entropy, weights)
        if scales is not None:
            penalty /= scales.step**2

        rows = spec.rows if self.group is None or self.group >= spec.rows else self.group
        parts = [slice(start, start + rows) for start in range(0, spec.rows, rows)]
        if hint is not None:
            books = [hint.book]
        else:
            of_parts = [(values[p], None if importance is None else importance[p]) for p in parts]
            books = fit(of_parts, self._rule, penalty)
        counts = [None if importance is None else importance[p] for p in parts]
        found = [assign(values[p], c, each, penalty) for p, c, each in zip(parts, counts, books, strict=True)]

        def gain_of(indices: Sequence[npt.NDArray[np.uint8]]) -> float:
            if self.reconstruction != "norm":
                return 1.0
            made = [each.values[of_part] * each.unit for of_part, each in zip(indices, books, strict=True)]
            return self._gain(tensor, values, np.concatenate(made).astype(np.float32), importance, scales)

        if together(self.shaping, self.reconstruction) and tensor.importance is None:
            # That of all rows, by what each is multiplied by: errors are to cancel out in what is decoded.
            gain = gain_of(found)
            found = [
                cancelled(values[p], c, of_part, each, penalty, gain)
                for p, c, of_part, each in zip(parts, counts, found, books, strict=True)
            ]
        if self.zero:
            found = [
                cluster.zeros_kept(values[p], of_part, each.values)
                for p, of_part, each in zip(parts, found, books, strict=True)
            ]
        indices = np.concatenate(found)
        gain = gain_of(found)
        size = max(len(each.values) for each in books)
        table = np.stack([np.pad(each.values, (0, size - len(each.values)), "edge") for each in books])
        tile = tile_length(spec.rows, spec.cols, self.tile)
        coded = coding.encode(indices, size, tile, self.coding, self.table_bits, in_order=hint is not None)

        mode = coded.coding
        head = [varint(tile)]
        if len(books) > 1:
            mode |= GROUPS
            head.append(varint(rows))
        if hint is not None:
            mode |= BOOK_SHARED
            head.append(varint(hint.index))
        else:
            if scales is None and self.centroids != "int8":
                table = book.round_to(table * gain, self.centroids, 1.0)
            head.append(book.serialize(table[:, coded.order], self.centroids))
        if scales is not None or self.centroids == "int8":
            mode |= STEP
            step = float(np.float32((1.0 if scales is None else scales.step) * books[0].unit * gain))
            head.append(struct.pack("<f", max(step, TINIEST)))
        if scales is not None and scales.codes is not None:
            mode |= SCALES
            head.append(pack_codes(scales.codes))
        return b"".join([bytes([mode]), *head, coded.data])

    def _gain(
        self,
        tensor: Tensor,
        values: npt.NDArray[np.float32],
        made: npt.NDArray[np.float32],
        importance: npt.NDArray[np.float32] | None,
        scales: Scales | None,
    ) -> float:
        """What decoded weights are multiplied by; none of them leaves the range of its dtype by it."""
        gain = norm_gain(energy_of(values, importance), energy_of(made, importance))
        largest = float(np.abs(made).max()) * (1.0 if scales is None else scales.step)
        return gain if largest * gain < largest_weight(tensor.spec.dtype) else min(gain, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Hint:
    """A shared codebook and its index."""

    index: int
    book: Book


def _in_fp16(weights: npt.NDArray[np.float32]) -> bool:
    """Whether the largest weight is one that fp16 has 11 bits for; or all are 0."""
    largest = max(float(weights.max()), -float(weights.min()))
    fp16 = np.finfo(np.float16)
    return largest == 0 or float(fp16.tiny) <= largest <= float(fp16.max)


def padded(found: Book, to_power_of_two: bool) -> Book:
    """A codebook that also serves indices of fixed width: its last centroid is repeated, with none to take it."""
    more = (1 << (len(found.values) - 1).bit_length()) - len(found.values) if to_power_of_two else 0
    bits = None if found.bits is None else np.pad(found.bits, (0, more), constant_values=np.inf)
    return replace(found, values=np.pad(found.values, (0, more), "edge"), bits=bits)
