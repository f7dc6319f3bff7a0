"""Runs a PyTorch module whose large weights stay compressed: a layer decodes them when it runs, and drops them.

What is swapped: modules that are exactly ``Linear``, ``Conv1d``, ``Conv2d``, ``Conv3d`` or ``Embedding`` (without
``max_norm``, which writes to the weights). Others, such as recurrent layers and subclasses, have their weights decoded
once, as :meth:`~neuralcodec.CompressedModel.load_into` does.
"""

from __future__ import annotations

import copy
import functools
import math
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import torch
from torch import nn
from torch.nn import functional

from neuralcodec.errors import NeuralCodecError
from neuralcodec.model import CompressedModel, check_compressed
from neuralcodec.state import is_extra_state, set_extra_state
from neuralcodec.stream.reader import TilePlace

Keep = Literal["tile", "layer"]
"""How much of a layer's weights is decoded at a time."""

Apply = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, int], torch.Tensor]
"""A layer on some of its channels: input, weight, bias and groups to output."""

LIKE = "_weight_like"
"""Name of an empty buffer that ``.to()``, ``.half()`` and the like move, and the decoded weights after it."""


def is_tiled(model: nn.Module) -> bool:
    """Whether some layers of a module hold their weights compressed."""
    return any(isinstance(module, _Compressed) for module in model.modules())


def tiled(model: nn.Module, cm: CompressedModel, keep: Keep = "layer") -> nn.Module:
    """A copy of a module that holds the payloads of its layers and decodes them in ``forward``.

    Beside activations, what is decoded at a time is the weights of one layer, or a tile (about a thousand of them).
    The payloads are read when they are decoded: with a file that was loaded lazily, not even they stay in memory.
    Weights of linear, convolution and embedding layers are swapped; biases, norms, buffers and everything else is
    loaded from ``cm`` into the copy.

    The copy is for inference. Nothing in it requires a gradient, and swapped weights cannot have one: they are no
    parameters and not in its ``state_dict()``. A layer's ``weight`` decodes the whole of it. Where the input requires a
    gradient, autograd holds the decoded weights until it is done. ``torch.compile`` leaves the decoding out of its
    graphs; ``torch.jit.trace`` and ``torch.export`` take decoded weights as constants.

    Args:
        model: the module; it is not changed, and its swapped weights are not copied. Those on the ``meta`` device take
            no memory, and the copy is then on the CPU.
        cm: its compressed weights, with exactly the names and shapes of ``model.state_dict()``.
        keep: ``"layer"`` decodes the whole of a layer's weights each time that it runs: the outputs are those of the
            fully decoded module, bit for bit (one whose parameters require no gradient: for others torch computes
            recurrent and attention layers in another order). ``"tile"`` decodes tile by tile, which takes longer:
            matrix products are small, and may take their sums in another order, so that outputs differ by rounding.

    Returns:
        The copy, with the devices, dtypes and training mode of ``model``.

    Raises:
        NeuralCodecError: names or shapes differ, a buffer without a value is not in ``cm``, or that is something else.
        BitstreamError: a payload is damaged. Those of swapped layers are looked at when the layer runs.
    """
    if keep not in ("tile", "layer"):
        raise NeuralCodecError(f'keep is "tile" or "layer", not {keep!r}')
    check_compressed(cm)
    cm.check_matches(model)
    saved = model.state_dict()
    for name, buffer in model.named_buffers():
        if buffer.is_meta and name not in saved:
            raise NeuralCodecError(
                f"buffer {name!r} is on the meta device and not saved with the model, so it has no value", tensor=name
            )
    # deepcopy takes what is in memo for the copies of these layers, and so keeps modules that occur twice one module.
    memo: dict[int, object] = {}
    compressed: dict[str, nn.Parameter] = {}
    for path, module in model.named_modules():
        swapped = _SWAPPED.get(type(module))
        if swapped is not None and _can_swap(module):
            name = f"{path}.weight" if path else "weight"
            compressed[name] = module.weight
            memo[id(module)] = _swap(module, swapped, TiledWeight(cm, name, keep), memo)
        for made_of_others in vars(module).values():  # by a hook before forward, as torch.nn.utils.prune has it
            if isinstance(made_of_others, torch.Tensor) and not made_of_others.is_leaf:
                memo[id(made_of_others)] = made_of_others.detach().clone()
    made: nn.Module = copy.deepcopy(model, memo)
    _materialize(made)
    _load(made, cm)
    made.requires_grad_(False)
    registered = {id(parameter) for parameter in made.parameters()}
    for name, old in compressed.items():  # a list or tuple may have the weight too, and then a copy of it
        copied = memo.get(id(old))
        if isinstance(copied, torch.Tensor) and id(copied) not in registered:
            copied.requires_grad_(False).copy_(cm.decode(name))
    return made


Decodes = TypeVar("Decodes", bound=Callable[..., object])


def _outside_graphs(decodes: Decodes) -> Decodes:
    """Lets graphs of ``torch.compile`` break where this function is called: decoding is no torch operation.

    What torch imports for that takes seconds and 80 MB, so only where it has been imported already.
    """

    @functools.wraps(decodes)
    def called(*args: object, **kwargs: object) -> object:
        if "torch._dynamo" not in sys.modules:
            return decodes(*args, **kwargs)
        kept_out: Decodes = torch.compiler.disable(decodes)  # type: ignore[no-untyped-call]
        return kept_out(*args, **kwargs)

    return cast("Decodes", called)


@dataclass(frozen=True, slots=True)
class TiledWeight:
    """The compressed weight of a layer.

    Attributes:
        cm: the model that it is in.
        name: its name there.
        keep: how much of it is decoded at a time.
    """

    cm: CompressedModel
    name: str
    keep: Keep

    @_outside_graphs
    def whole(self, like: torch.Tensor) -> torch.Tensor:
        """All of it, with the dtype and device of ``like``."""
        return self.cm.decode(self.name).to(like)

    def tiles(
        self, like: torch.Tensor, wanted: Callable[[TilePlace], bool] | None = None
    ) -> Iterator[tuple[TilePlace, torch.Tensor]]:
        """Tile by tile, each with its place, shape ``[tile rows, tile columns]``."""
        for place, tile in self.cm.decode_tiles(self.name, wanted):
            yield place, tile.to(like)

    @_outside_graphs
    def by_tiles(
        self,
        x: torch.Tensor,
        like: torch.Tensor,
        bias: torch.Tensor | None,
        *,
        shape: tuple[int, ...],
        groups: int,
        channel: int,
        apply: Apply,
    ) -> torch.Tensor:
        """A linear layer or a convolution with this weight, tile by tile.

        Tiles of whole rows give whole output channels. Others give parts of the sums, which are added up, in float32
        where the layer has a narrower type.

        Args:
            x: input, with its channels at dimension ``channel``, counted from the end.
            like: has its dtype and device.
            bias: shape ``[out]``.
            shape: of the weight, ``[out, in / groups, *kernel]``.
            groups: of the layer.
            channel: dimension of the channels of input and output.
            apply: the layer.
        """
        dtype, kernel, fan_in = like.dtype, math.prod(shape[2:]), math.prod(shape[1:])
        out: torch.Tensor | None = None
        for place, decoded in self.tiles(like):
            whole, tile = place.cols == fan_in, decoded
            first, last = place.col // kernel, -(-(place.col + place.cols) // kernel)  # input channels of a group
            if not whole:
                if torch.finfo(dtype).bits < 32 and not torch.is_autocast_enabled(x.device.type):
                    x, tile = x.float(), tile.float()
                if place.cols < (last - first) * kernel:  # it starts or ends inside a channel's kernel
                    before = place.col - first * kernel
                    tile = functional.pad(tile, (before, (last - first) * kernel - before - place.cols))
            tile = tile.reshape(place.rows, last - first, *shape[2:])
            for start, stop, of in _runs(place.row, place.row + place.rows, shape[0] // groups):
                inputs = _channels(x, x.dim() + channel, groups, of, slice(first, last))
                weights = tile[start - place.row : stop - place.row]
                y = apply(inputs, weights, bias[start:stop] if whole and bias is not None else None, of.stop - of.start)
                if whole and stop - start == shape[0]:
                    return y
                if out is None:
                    size = [*y.shape[:channel], shape[0], *y.shape[y.dim() + channel + 1 :]]
                    out = y.new_empty(size) if whole else y.new_zeros(size)
                    if not whole and bias is not None:
                        out += bias.to(out).reshape(-1, *[1] * (-1 - channel))
                if whole:
                    out.narrow(channel, start, stop - start).copy_(y)
                else:
                    out.narrow(channel, start, stop - start).add_(y)
        if out is None:  # there are no weights
            return apply(x, self.whole(like), bias, groups)
        return out.to(dtype) if not torch.is_autocast_enabled(x.device.type) else out

    def describe(self) -> str:
        """For the layer's repr."""
        entry = self.cm.entry(self.name)
        return f"codec={entry.codec}, bytes={entry.place.size}, keep={self.keep}"


class _Compressed(nn.Module):
    """What swapped layers have in common: no parameter ``weight``, but one that is decoded when it is asked for."""

    compressed: TiledWeight

    if TYPE_CHECKING:
        weight: torch.Tensor  # as torch has it, where it can be set
    else:

        @property
        def weight(self) -> torch.Tensor:
            """The whole weight, decoded anew."""
            return self.compressed.whole(self.get_buffer(LIKE))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.compressed.describe()}"


class TiledLinear(_Compressed, nn.Linear):
    """A linear layer whose weight stays compressed."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As the layer that it stands for: ``[..., in_features]`` to ``[..., out_features]``."""
        if self.compressed.keep == "layer":
            return super().forward(input)

        def apply(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None, groups: int) -> torch.Tensor:
            return functional.linear(x, w, b)

        shape = (self.out_features, self.in_features)
        return self.compressed.by_tiles(
            input, self.get_buffer(LIKE), self.bias, shape=shape, groups=1, channel=-1, apply=apply
        )


class _TiledConv(_Compressed):
    """What the convolutions have in common."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As the layer that it stands for, with or without a batch."""
        if self.compressed.keep == "layer":
            return super().forward(input)  # type: ignore[no-any-return]
        assert isinstance(self, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        space = len(self.kernel_size)
        convolve: Callable[..., torch.Tensor] = (functional.conv1d, functional.conv2d, functional.conv3d)[space - 1]
        padding: str | Sequence[int] = self.padding
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0,) * space

        def apply(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None, groups: int) -> torch.Tensor:
            return convolve(x, w, b, self.stride, padding, self.dilation, groups)

        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        return self.compressed.by_tiles(
            input,
            self.get_buffer(LIKE),
            self.bias,
            shape=shape,
            groups=self.groups,
            channel=-1 - space,
            apply=apply,
        )


class TiledConv1d(_TiledConv, nn.Conv1d):
    """A convolution over one dimension whose weight stays compressed."""


class TiledConv2d(_TiledConv, nn.Conv2d):
    """A convolution over two dimensions whose weight stays compressed."""


class TiledConv3d(_TiledConv, nn.Conv3d):
    """A convolution over three dimensions whose weight stays compressed."""


class TiledEmbedding(_Compressed, nn.Embedding):
    """A table of vectors that stays compressed. Only tiles with rows that are asked for are decoded."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As the layer that it stands for: indices ``[...]`` to ``[..., embedding_dim]``."""
        if self.compressed.keep == "layer":
            return super().forward(input)
        return self._look_up(input)

    @_outside_graphs
    def _look_up(self, input: torch.Tensor) -> torch.Tensor:
        distinct, where = torch.unique(input, return_inverse=True)
        rows = [int(row) for row in distinct]  # in ascending order
        if rows and not 0 <= rows[0] <= rows[-1] < self.num_embeddings:
            bad = rows[0] if rows[0] < 0 else rows[-1]
            raise IndexError(f"index {bad} is out of range: there are {self.num_embeddings} embeddings")

        def within(place: TilePlace) -> slice:
            return slice(bisect_left(rows, place.row), bisect_left(rows, place.row + place.rows))

        def wanted(place: TilePlace) -> bool:
            found = within(place)
            return bool(found.start < found.stop)

        like = self.get_buffer(LIKE)
        table = like.new_empty(len(rows), self.embedding_dim)
        for place, tile in self.compressed.tiles(like, wanted):
            found = within(place)
            table[found, place.col : place.col + place.cols] = tile[distinct[found].to(tile.device) - place.row]
        return functional.embedding(where, table)


_SWAPPED: dict[type[nn.Module], type[_Compressed]] = {
    nn.Linear: TiledLinear,
    nn.Conv1d: TiledConv1d,
    nn.Conv2d: TiledConv2d,
    nn.Conv3d: TiledConv3d,
    nn.Embedding: TiledEmbedding,
}


def _runs(first: int, last: int, size: int) -> Iterator[tuple[int, int, slice]]:
    """Cuts rows in runs that are inside one group or take whole groups, where a group has ``size`` rows.

    Yields:
        First row, the row after the last, and the groups.
    """
    while first < last:
        group, inside = divmod(first, size)
        if inside or last - first < size:
            stop, groups = min(last, (group + 1) * size), slice(group, group + 1)
        else:
            count = (last - first) // size
            stop, groups = first + count * size, slice(group, group + count)
        yield first, stop, groups
        first = stop


def _channels(x: torch.Tensor, channel: int, groups: int, of: slice, inside: slice) -> torch.Tensor:
    """The input channels ``inside`` of each of the groups ``of``; ``channel`` is the dimension of the channels."""
    each = x.shape[channel] // groups
    start, count = of.start, of.stop - of.start
    if inside.stop - inside.start == each:
        return x if count == groups else x.narrow(channel, start * each, count * each)
    parts = x.reshape(*x.shape[:channel], groups, each, *x.shape[channel + 1 :]).narrow(channel, start, count)
    return parts.narrow(channel + 1, inside.start, inside.stop - inside.start).flatten(channel, channel + 1)


def _can_swap(module: nn.Module) -> bool:
    # Without a parameter of this name something makes the weight from others (torch.nn.utils.prune, weight_norm).
    weight = module._parameters.get("weight")
    return weight is not None and getattr(module, "max_norm", None) is None


def _swap(module: nn.Module, to: type[_Compressed], weight: TiledWeight, memo: dict[int, object]) -> _Compressed:
    """The swapped layer: a copy of all that the module has but its weight, hooks and settings included."""
    made = to.__new__(to)
    state = dict(module.__dict__)
    parameters = state.pop("_parameters")
    made.__dict__.update(copy.deepcopy(state, memo))
    made._parameters = copy.deepcopy({n: p for n, p in parameters.items() if n != "weight"}, memo)
    made.compressed = weight
    old = parameters["weight"]
    device = torch.device("cpu") if old.is_meta else old.device
    made.register_buffer(LIKE, torch.empty(0, dtype=old.dtype, device=device), persistent=False)
    return made


def _materialize(model: nn.Module) -> None:
    """Gives what is on the meta device room on the CPU; ties stay."""
    room: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, old in held.items():
                if old is None or not old.is_meta:
                    continue
                if id(old) not in room:
                    new = torch.empty(old.shape, dtype=old.dtype, device="cpu")
                    room[id(old)] = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
                held[name] = room[id(old)]  # type: ignore[assignment]


def _load(model: nn.Module, cm: CompressedModel) -> None:
    """Decodes what the copy still holds; a tensor with several names once."""
    done: set[int] = set()
    with torch.no_grad():
        for name, held in model.state_dict(keep_vars=True).items():
            if name in cm and is_extra_state(name):
                set_extra_state(model, name, cm.decode(name))
            elif name in cm and id(held) not in done:
                held.copy_(cm.decode(name))
                done.add(id(held))
