"""Checks that options of codecs have in common."""

from __future__ import annotations

import dataclasses
import numbers
import os
import types
import typing
from collections.abc import Mapping, Sequence

MOST_NUMBER = (2 - 2.0**-23) * 2.0**127
"""Of options that are numbers, such as steps: the largest float32."""


def check_integer(name: str, value: object, least: int, most: int) -> None:
    """Refuses what is neither None nor an integer in a range.

    Raises:
        ValueError: it names the option and the range.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
        raise ValueError(f"{name}: an integer from {least} to {most} or None expected, not {value!r}")


def check_number(name: str, value: object, least: float, most: float = MOST_NUMBER) -> None:
    """Refuses what is not a number in a range.

    Raises:
        ValueError: it names the option and the range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        within = f"from {least:g} on" if most == MOST_NUMBER else f"from {least:g} to {most:g}"
        raise ValueError(f"{name}: a number {within} expected, not {value!r}")


def check_flag(name: str, value: object, may_be_open: bool = False) -> None:
    """Refuses what is not True or False, or None where an option may be left open.

    Raises:
        ValueError: it names the option.
    """
    if not isinstance(value, bool) and not (may_be_open and value is None):
        known = "True, False or None" if may_be_open else "True or False"
        raise ValueError(f"{name}: {known} expected, not {value!r}")


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Refuses what is not one of some words.

    Raises:
        ValueError: it names the option and the words.
    """
    if value not in known:
        raise ValueError(f"{name}: {', '.join(map(repr, known[:-1]))} or {known[-1]!r} expected, not {value!r}")


def as_declared(cls: type[typing.Any], options: Mapping[str, object]) -> dict[str, object]:
    """Options with numbers of numpy turned into Python's, each of the type that the class declares for it.

    Args:
        cls: a dataclass; fields of other types than numbers, bool, str, Literal, None and unions of these are not
            looked at.
        options: by the names of its fields.

    Raises:
        ValueError: it names the option and what is expected.
    """
    if not dataclasses.is_dataclass(cls):
        return dict(options)
    try:
        declared = typing.get_type_hints(cls)
    except (NameError, TypeError):  # a third party's annotations may be of names that are not there
        return dict(options)
    return {name: _as_one_of(name, value, _arms(declared.get(name))) for name, value in options.items()}


def declared_types(cls: type[typing.Any]) -> dict[str, str]:
    """The type of each field of a dataclass as people read it: ``int | None``, ``'rows' | 'columns'``."""
    try:
        declared = typing.get_type_hints(cls)
    except (NameError, TypeError):
        return {field.name: str(field.type) for field in dataclasses.fields(cls)}
    return {field.name: " | ".join(_in_words(declared[field.name])) for field in dataclasses.fields(cls)}


def _in_words(declared: object) -> list[str]:
    words: list[str] = []
    for arm in _arms(declared):
        if typing.get_origin(arm) is typing.Literal:
            words += map(repr, typing.get_args(arm))
        elif arm is types.NoneType:
            words.append("None")
        else:
            words.append(arm.__name__ if isinstance(arm, type) else str(arm))
    return words


def _arms(declared: object) -> tuple[object, ...]:
    """The types of a union, or the one type."""
    if typing.get_origin(declared) in {typing.Union, types.UnionType}:
        return tuple(arm for each in typing.get_args(declared) for arm in _arms(each))
    return (declared,)


def _as_one_of(name: str, value: object, arms: tuple[object, ...]) -> object:
    words: list[str] = []
    for arm in arms:
        if typing.get_origin(arm) is typing.Literal:
            choices = typing.get_args(arm)
            if isinstance(value, str) and value in choices:
                return value
            words += map(repr, choices)
        elif arm is bool:
            if isinstance(value, bool):
                return value
            words += ["True", "False"]
        elif arm is int:
            if not isinstance(value, bool) and isinstance(value, numbers.Integral):
                return int(value)
            words.append("an integer")
        elif arm is float:
            if not isinstance(value, bool) and isinstance(value, (int, float, numbers.Real)):
                return value if isinstance(value, int) else float(value)
            words.append("a number")
        elif arm is str:
            if isinstance(value, (str, os.PathLike)):
                return value
            words.append("a string")
        elif arm is types.NoneType:
            if value is None:
                return value
            words.append("None")
        else:
            return value
    said = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    raise ValueError(f"{name}: {said} expected, not {value!r}")
