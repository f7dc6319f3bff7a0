"""The steps of compression with training, in the order they are taken. Arguments are those of ``train``."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch import nn

from neuralcodec.finetune.objective import Loss, Objective
from neuralcodec.finetune.prune import Masks, Pruner, Pruning
from neuralcodec.finetune.share import Codebook, Sharing
from neuralcodec.finetune.train import Batches, Outcome, Recipe, train


def prune(
    model: nn.Module,
    batches: Batches,
    objective: Objective | Loss,
    recipe: Recipe,
    pruning: Pruning,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> Masks:
    """Trains while more and more weights are set to zero.

    Weights that are zero at the start count as pruned, so a pruned model can be pruned further.

    Returns:
        Which weights are left.

    Raises:
        FinetuneError: as :func:`~neuralcodec.finetune.train.train`; a name that is none of the model's.
    """
    pruner = Pruner(model, pruning, recipe.steps)
    train(model, batches, objective, recipe, pruner, checkpoint=checkpoint, quiet=quiet)
    return pruner.masks


def retrain(
    model: nn.Module,
    batches: Batches,
    objective: Objective | Loss,
    recipe: Recipe,
    masks: Masks,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> Outcome:
    """Trains the weights that are left; those pruned stay zero.

    Raises:
        FinetuneError: as :func:`~neuralcodec.finetune.train.train`; masks of another model.
    """
    held = Pruner(model, None, recipe.steps, masks)
    return train(model, batches, objective, recipe, held, checkpoint=checkpoint, quiet=quiet)


def tune(
    model: nn.Module,
    batches: Batches,
    objective: Objective | Loss,
    recipe: Recipe,
    books: Mapping[str, Codebook],
    *,
    refresh: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Codebook]:
    """Trains shared weights: a centroid moves by the summed gradient of its weights (Han et al. 2016).

    The sum over thousands of weights is large, so a lower rate than that of ordinary training serves, with plain
    gradient descent above all.

    With ``refresh`` weights are assigned to centroids anew every so many steps; else the assignment stays.

    Returns:
        The codebooks as they are then; the model's weights are theirs.

    Raises:
        FinetuneError: as :func:`~neuralcodec.finetune.train.train`; codebooks of another model.
    """
    sharing = Sharing(model, books, refresh)
    train(model, batches, objective, recipe, sharing, checkpoint=checkpoint, quiet=quiet)
    return sharing.books
