"""The training loop."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from neuralcodec.errors import FinetuneError
from neuralcodec.finetune import checkpoint as files
from neuralcodec.finetune.constraint import Constraint, Free
from neuralcodec.finetune.objective import Loss, Objective

Batches = Iterable[Any] | Callable[[int], Iterable[Any]]
"""Gives batches whenever it is iterated over, as a DataLoader or a list does; or a function from the number of the pass
over the data, 0 first, to such. For a run that is resumed to end like one that was not cut off, batches may depend on
nothing but that number and torch's global random numbers, which are seeded anew for each pass."""


def cosine(progress: float) -> float:
    """From 1 to 0 along half a cosine (Loshchilov and Hutter 2017)."""
    return (1 + math.cos(math.pi * progress)) / 2


def adam(variables: list[torch.Tensor], rate: float) -> torch.optim.Optimizer:
    """Adam as Kingma and Ba have it."""
    return torch.optim.Adam(variables, rate)


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        steps: batches to learn from; the loader is begun anew as often as needed.
        rate: learning rate of the first step.
        schedule: its factor, from the share of steps done, 0 to 1.
        optimizer: from variables and rate to an optimizer.
        seed: of torch's random numbers.
        save_every: steps from one checkpoint to the next.
    """

    steps: int
    rate: float = 1e-3
    schedule: Callable[[float], float] = cosine
    optimizer: Callable[[list[torch.Tensor], float], torch.optim.Optimizer] = adam
    seed: int = 0
    save_every: int = 500

    def __post_init__(self) -> None:
        if not self.steps >= 0 or not self.save_every >= 1 or self.steps % 1 or self.save_every % 1:
            said = f"not {self.steps!r}, {self.save_every!r}"
            raise ValueError(f"steps, save_every: integers of 0 and 1 or more expected, {said}")


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        steps: that were taken, those before a resumption included.
        losses: mean loss of each pass over the data; the last may be a part of one.
    """

    steps: int
    losses: tuple[float, ...]


def train(
    model: nn.Module,
    batches: Batches,
    objective: Objective | Loss,
    recipe: Recipe,
    constraint: Constraint | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> Outcome:
    """Trains a model in place, all of it in training mode; modes and the caller's random numbers are left as they were.

    No gradients are left in the model, those that it had included. It may be called within ``torch.autocast``.

    Args:
        model: on any device; the batches must be where it is.
        batches: see :data:`Batches`.
        objective: a loss of output and batch, or one with further terms.
        recipe: how.
        constraint: what must not be undone, such as pruning.
        checkpoint: a file to write now and then, and to go on from if it is there. It stays when all is done: the same
            call then gives the trained model at once.
        quiet: shows no progress.

    Raises:
        FinetuneError: the loader gives no batch in a pass; there is nothing to train; a loss is no number; a loss or
            weight is NaN or infinite (the last checkpoint is kept, and is good); the checkpoint is damaged or of
            another run, or could not be read again, as the model's state holds more than tensors and numbers.
    """
    objective = objective if isinstance(objective, Objective) else Objective(objective)
    held = constraint or Free()
    path = None if checkpoint is None else Path(checkpoint)
    modes = {name: module.training for name, module in model.named_modules()}
    try:
        with torch.random.fork_rng(), _progress(held.label, recipe.steps, quiet) as tell:
            return _Run(model, batches, objective, recipe, held, path, tell).run()
    finally:
        model.zero_grad(set_to_none=True)
        for name, module in model.named_modules():
            module.training = modes.get(name, modes[""])  # a forward pass may have made it


class _Run:
    """A training under way: what a checkpoint holds, and what it is of."""

    def __init__(  # noqa: PLR0917 (private, called once)
        self,
        model: nn.Module,
        batches: Batches,
        objective: Objective,
        recipe: Recipe,
        constraint: Constraint,
        path: Path | None,
        tell: Callable[[int, float], None],
    ) -> None:
        self.model, self.batches, self.objective, self.recipe = model, batches, objective, recipe
        self.constraint, self.path, self.tell = constraint, path, tell
        variables = constraint.variables(model)
        if not variables:
            raise FinetuneError("there is nothing to train: no parameter of the model requires a gradient")
        self.optimizer = recipe.optimizer(variables, recipe.rate)
        self.rates = [_number(group["lr"]) for group in self.optimizer.param_groups]
        self.options = _options(self.optimizer)  # before steps or a checkpoint change them
        self.step = self.passes = self.position = self.saved = 0
        self.losses: list[float] = []
        self.sum = 0.0
        self.name = f"{constraint.label}, {recipe.steps} steps, rate {recipe.rate}, seed {recipe.seed}"

    def run(self) -> Outcome:
        state = files.read(self.path, self.name) if self.path else None
        if state is not None:
            self._resume(state)
        random = state["random"] if state is not None else None
        self.model.train()
        while self.step < self.recipe.steps:
            torch.manual_seed(self.recipe.seed * 1_000_003 + self.passes)
            for batch in self._rest(random):
                self._learn(batch)
                if self.step == self.recipe.steps or (self.step % self.recipe.save_every == 0 and self.path):
                    self._save()
                if self.step == self.recipe.steps:
                    break
            else:
                self.losses.append(self.sum / self.position)
                self.passes, self.position, self.sum = self.passes + 1, 0, 0.0
            random = None
        tail = [self.sum / self.position] if self.position else []
        return Outcome(self.step, (*self.losses, *tail))

    def _rest(self, random: torch.Tensor | None) -> Iterator[Any]:
        """The batches of this pass that are still to come."""
        source = iter(self.batches(self.passes) if callable(self.batches) else self.batches)
        for skipped in range(self.position):
            if next(source, None) is None:
                raise FinetuneError(f"the loader gave {skipped} batches, but {self.position} when this run was cut off")
        if random is not None:
            torch.set_rng_state(random)
        if self.position:
            yield from source
            return
        batch = next(source, None)
        if batch is None:
            if self.step > self.saved:
                self._save()
            raise FinetuneError(
                f"the loader ran dry after {self.step} of {self.recipe.steps} steps: pass {self.passes + 1} over it "
                "gave no batch. A generator can be passed over only once; a list, a DataLoader or a function of the "
                "pass can be again"
            )
        yield batch
        yield from source

    def _learn(self, batch: Any) -> None:  # noqa: ANN401
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * _number(self.recipe.schedule(self.step / self.recipe.steps))
        self.constraint.before(self.model, self.step)
        self.model.zero_grad(set_to_none=True)
        torch.clear_autocast_cache()  # where the caller is within autocast, it holds weights of the step before
        terms = self.objective.terms(self.model, batch)
        for name, term in terms.items():
            if term.numel() != 1:
                raise FinetuneError(f"{name} has shape {list(term.shape)}: one number expected, such as a mean")
            if not torch.isfinite(term).all():
                raise FinetuneError(f"{name} is {float(term.detach()):g} at step {self.step}{self._kept()}")
        total = torch.stack([term.reshape(()) for term in terms.values()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        self.constraint.gradients(self.model)
        self.optimizer.step()
        self.constraint.after(self.model)
        self.step += 1
        self.position += 1
        self.sum += float(total.detach())
        self.tell(self.step, self.sum / self.position)

    def _save(self) -> None:
        for name, parameter in self.model.named_parameters():
            if not torch.isfinite(parameter).all():
                raise FinetuneError(f"weights are NaN or infinite at step {self.step}{self._kept()}", tensor=name)
        if self.path is None:
            return
        model = self.model.state_dict()
        state = {
            "run": self.name,
            "step": self.step,
            "passes": self.passes,
            "position": self.position,
            "losses": self.losses,
            "sum": self.sum,
            "model": model,
            "buffers": {name: buffer for name, buffer in self.model.named_buffers() if name not in model},
            "optimizer": self.optimizer.state_dict(),
            "options": self.options,
            "constraint": self.constraint.state(),
            "random": torch.get_rng_state(),
        }
        files.write(self.path, state, check=not self.saved)
        self.saved = self.step

    def _resume(self, state: dict[str, Any]) -> None:
        try:
            self.model.load_state_dict(state["model"])
            for name, buffer in state.get("buffers", {}).items():
                _set_buffer(self.model, name, buffer)
            groups = state["optimizer"]["param_groups"], self.optimizer.state_dict()["param_groups"]
            if [group.keys() for group in groups[0]] != [group.keys() for group in groups[1]]:
                raise ValueError("its optimizer is another one")
            if "options" in state and state["options"] != self.options:
                raise ValueError(f"its optimizer is {state['options']}, this one {self.options}")
            self.optimizer.load_state_dict(state["optimizer"])
            self.constraint.resume(state["constraint"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise FinetuneError(f"checkpoint {self.path} is of another model, or run: {error}") from error
        self.step, self.passes, self.position = state["step"], state["passes"], state["position"]
        self.losses, self.sum, self.saved = list(state["losses"]), state["sum"], state["step"]
        self.tell(self.step, self.sum / max(1, self.position))

    def _kept(self) -> str:
        return f"; {self.path} keeps step {self.saved}" if self.path and self.saved else ""


def _number(value: Any) -> Any:  # noqa: ANN401 (a tensor stays one)
    """Without a type of numpy's, which a checkpoint could not hold."""
    return value if isinstance(value, torch.Tensor) else float(value)


def _set_buffer(model: nn.Module, name: str, value: torch.Tensor) -> None:
    """Sets a buffer that is not in the state dict; its shape may have come with the batches."""
    path, _, own = name.rpartition(".")
    module = model.get_submodule(path)
    held = getattr(module, own)
    if held is not None and held.shape == value.shape:
        held.copy_(value)
    else:
        setattr(module, own, value)


def _options(optimizer: torch.optim.Optimizer) -> str:
    """The kind of an optimizer and the options of its groups that are plain values, and so the same in each process."""
    groups = [
        ", ".join(f"{key}={value!r}" for key, value in sorted(group.items()) if _is_plain(value))
        for group in optimizer.param_groups
    ]
    return f"{type(optimizer).__name__} of {'; '.join(groups)}"


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


@contextlib.contextmanager
def _progress(label: str, steps: int, quiet: bool) -> Iterator[Callable[[int, float], None]]:
    if quiet:
        yield lambda step, loss: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("loss {task.fields[loss]:.4f}")) as progress:
        task = progress.add_task(label, total=steps, loss=math.nan)
        yield lambda step, loss: progress.update(task, completed=step, loss=loss)
