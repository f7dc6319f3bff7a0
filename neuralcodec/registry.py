"""Codecs by name.

A third party adds one with :func:`register` or with an entry point in the group ``neuralcodec.codecs``.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from neuralcodec.codec import NAMED, Codec, MaybeLossless
from neuralcodec.errors import PlanError, RegistryError
from neuralcodec.options import as_declared, declared_types

ENTRY_POINT_GROUP = "neuralcodec.codecs"

DEFAULT, LOSSLESS = "trellis", "huffman"
"""Codecs where none is named."""

TARGETS = {
    **{name: name for name in ("bits_per_weight", "snr_db", "max_bytes")},
    **{"target_bits": "bits_per_weight", "target_snr": "snr_db"},
}
"""What may be taken for options of a codec, and a target's names for them."""

ALIKE = 0.8
"""From which likeness on a name is another one that is misspelled."""

_registered: dict[str, type[Any]] = {}


def register(codec: type[Any]) -> type[Any]:
    """Makes a codec known under its ``name``; usable as a class decorator.

    Args:
        codec: a frozen dataclass that follows :class:`neuralcodec.codec.Codec`.

    Returns:
        The class itself.

    Raises:
        RegistryError: the class lacks something, or its name or number is taken by another one.
    """
    _check(codec)
    for other in (*_registered.values(), *_built_in()):
        if other is codec:
            return codec
        if other.name == codec.name:
            raise RegistryError(f"a codec named {codec.name!r} exists already: {other.__module__}.{other.__qualname__}")
        if codec.number != NAMED and other.number == codec.number:
            raise RegistryError(f"codec number {codec.number} belongs to {other.name!r}")
    for point in entry_points(group=ENTRY_POINT_GROUP, name=codec.name):
        if point.value != f"{codec.__module__}:{codec.__qualname__}":
            raise RegistryError(f"a codec named {codec.name!r} exists already: {point.value}")
    if codec.number != NAMED:
        raise RegistryError(
            f"codec {codec.name!r}: numbers are given in docs/format.md; use {NAMED} for a codec of your own"
        )
    _registered[codec.name] = codec
    return codec


def codec_names() -> list[str]:
    """Names of all codecs that can be used here, sorted."""
    return sorted({*_registered, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def codec_class(name: str) -> type[Any]:
    """The class of a codec.

    Raises:
        RegistryError: there is no codec of this name (the nearest one is suggested), or it cannot be loaded.
    """
    if name in _registered:
        return _registered[name]
    loaded = _from_entry_point(name)
    if loaded is None:
        raise RegistryError(f"unknown codec {name!r}{_nearest(name, codec_names())}")
    return loaded


@functools.cache
def _from_entry_point(name: str) -> type[Any] | None:
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            loaded: type[Any] = point.load()
        except Exception as error:
            raise RegistryError(f"codec {name!r} cannot be loaded from {point.value}: {error}") from error
        _check(loaded)
        if loaded.name != name:
            raise RegistryError(f"entry point {name!r} gives a codec named {loaded.name!r}")
        return loaded
    return None


def codec_by_number(number: int) -> type[Any] | None:
    """The built-in codec of a number in the stream, if it is here."""
    return next((codec for codec in _built_in() if codec.number == number), None)


def make_codec(codec: str | Codec | None, options: Mapping[str, object]) -> Codec:
    """A codec with its options set.

    Args:
        codec: name, or None for what is best for most: "trellis", and "huffman" where the option ``lossless`` is set.
        options: of the codec.

    Raises:
        RegistryError: unknown codec.
        PlanError: unknown option (the nearest one is suggested), a value outside its range, or an option that does
            nothing as the codec is lossless.
    """
    if codec is None:
        codec = LOSSLESS if options.get("lossless") else DEFAULT
    if not isinstance(codec, str):
        if not isinstance(codec, Codec):
            raise RegistryError(f"a codec is a name or an object that follows neuralcodec.codec.Codec, not {codec!r}")
        if options:
            raise PlanError(f"options {sorted(options)} were given beside a codec that is set up already")
        _check_declared(codec)
        return codec
    cls = codec_class(codec)
    known = option_names(cls)
    for option in options:
        if option not in known:
            raise PlanError(f"codec {codec!r} has no option {option!r}{_instead(option, known)}")
    try:
        made: Codec = cls(**as_declared(cls, options))
    except (TypeError, ValueError) as error:
        raise PlanError(f"codec {codec!r}: {error}") from error
    _check_idle(made, options)
    return made


def _check_idle(codec: Codec, options: Mapping[str, object]) -> None:
    """Refuses options that do nothing, as the codec is lossless, and others would not be."""
    if not isinstance(codec, MaybeLossless) or not codec.lossless:
        return
    usual = {field.name: field.default for field in dataclasses.fields(codec)}  # type: ignore[arg-type]
    kept = codec.options_if_lossless
    if idle := [name for name, value in options.items() if name not in kept and value != usual[name]]:
        raise PlanError(f"codec {codec.name!r}: with lossless=True {' and '.join(idle)} would do nothing")


def _check_declared(codec: Codec) -> None:
    try:
        as_declared(type(codec), {name: getattr(codec, name) for name in option_names(type(codec))})
    except ValueError as error:
        raise PlanError(f"codec {codec.name!r}: {error}") from error


def _instead(option: str, known: Iterable[str]) -> str:
    """What may be meant by an option that a codec does not have, as the end of a message."""
    if option in TARGETS:
        return f": it is a target, target=neuralcodec.Target({TARGETS[option]}=...)"
    having = {cls.name: option_names(cls) for cls in _built_in()}
    others = sorted({each for names in having.values() for each in names})
    meant = "".join(difflib.get_close_matches(option, others, n=1, cutoff=ALIKE))
    if not meant or (meant != option and meant in known):
        return _nearest(option, known)
    found = [repr(name) for name, names in having.items() if meant in names]
    has = f"{' and '.join(found)} {'have' if len(found) > 1 else 'has'} {'it' if meant == option else repr(meant)}"
    return f" ({has}){_nearest(option, known) if meant == option else ''}"


def with_options(codec: Codec, options: Mapping[str, object]) -> Codec:
    """The same codec with other values for some options.

    Raises:
        PlanError: unknown option (the nearest one is suggested), a value outside its range, or an option that does
            nothing as the codec is lossless.
    """
    known = option_names(type(codec))
    for option in options:
        if option not in known:
            raise PlanError(f"codec {codec.name!r} has no option {option!r}{_instead(option, known)}")
    try:
        typed = as_declared(type(codec), options)
        made: Codec = dataclasses.replace(codec, **typed)  # type: ignore[type-var]  # it has options, so it is one
    except (TypeError, ValueError) as error:
        raise PlanError(f"codec {codec.name!r}: {error}") from error
    _check_idle(made, options)
    return made


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """A codec in words.

    Attributes:
        name: what ``codec=`` takes.
        summary: what it does.
        number: its number in the stream.
        options: name, type and default of each option.
        details: all that the codec says of itself, and of each option.
    """

    name: str
    summary: str
    number: int
    options: tuple[str, ...]
    details: str


def describe_codecs() -> list[Description]:
    """Every codec that can be used here, and those that cannot be loaded, which their summary says."""
    described = []
    for name in codec_names():
        try:
            cls = codec_class(name)
        except RegistryError as error:  # of another package; the others are here all the same
            described.append(Description(name, f"not here: {error}", NAMED, (), f"not here: {error}"))
            continue
        fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
        types = declared_types(cls) if fields else {}
        described.append(
            Description(
                name,
                summary=(cls.__doc__ or "").strip().split("\n")[0],
                number=cls.number,
                options=tuple(f"{f.name}: {types[f.name]} = {f.default!r}" for f in fields if f.init),
                details=inspect.cleandoc(cls.__doc__ or ""),
            )
        )
    return described


def option_names(cls: type[Any]) -> list[str]:
    """Names of a codec's options."""
    return list(option_defaults(cls))


def option_defaults(cls: type[Any]) -> dict[str, object]:
    """The options of a codec and their defaults."""
    return {f.name: f.default for f in dataclasses.fields(cls) if f.init} if dataclasses.is_dataclass(cls) else {}


@functools.cache
def _built_in() -> tuple[type[Any], ...]:
    points = entry_points(group=ENTRY_POINT_GROUP)
    return tuple(codec_class(point.name) for point in points if point.value.startswith("neuralcodec."))


def _check(codec: type[Any]) -> None:
    needed: tuple[tuple[str, Callable[[object], bool], str], ...] = (
        ("name", lambda v: isinstance(v, str) and v.isascii() and 0 < len(v) < 256, "a short ASCII string"),
        ("number", lambda v: isinstance(v, int) and 0 < v <= NAMED, f"an integer from 1 to {NAMED}"),
        ("encode", callable, "a method"),
        ("decode", callable, "a method"),
        ("lossy", lambda v: v is not None, "a property"),
    )
    for attribute, good, wanted in needed:
        if not good(getattr(codec, attribute, None)):
            raise RegistryError(f"{codec!r} is not a codec: its {attribute!r} must be {wanted}")


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known) or 'none'}"
