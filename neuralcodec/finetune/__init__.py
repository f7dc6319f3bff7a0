"""Fine-tuning for compression: prune, retrain, share weights, tune the shared weights, encode.

After Han, Mao and Dally, "Deep Compression", ICLR 2016::

    import neuralcodec
    from neuralcodec import finetune as ft

    names = ft.weight_names(model)
    masks = ft.prune(model, loader, loss, ft.Recipe(4000), ft.Pruning(0.95))
    ft.retrain(model, loader, loss, ft.Recipe(2000), masks)
    books = ft.share(model, clusters=16)
    books = ft.tune(model, loader, loss, ft.Recipe(2000, rate=1e-4), books)
    cm = neuralcodec.encode(model, codec="kmeans", include=names, overrides=ft.overrides(books))

The model is changed in place. ``loader`` is anything that gives batches each time it is iterated over; ``loss`` is a
function of the model's output and the batch, or an :class:`Objective`, which adds distillation from the original model
and a term for sparsity. With ``checkpoint=`` a run that is cut off goes on where it was and ends with the same weights.
On a CPU the same seed gives the same weights; with another number of threads sums may differ in the last bit, and GPUs
promise nothing.
"""

from neuralcodec.errors import FinetuneError
from neuralcodec.finetune.constraint import Constraint
from neuralcodec.finetune.distill import Distillation, feature_loss, logit_loss
from neuralcodec.finetune.objective import Objective
from neuralcodec.finetune.pipeline import prune, retrain, tune
from neuralcodec.finetune.prune import Masks, Pruner, Pruning, cubic, lowest, magnitude, taylor, weight_names
from neuralcodec.finetune.share import Codebook, Sharing, centroid_gradient, overrides, share
from neuralcodec.finetune.sparsity import Sparsity, hoyer
from neuralcodec.finetune.train import Outcome, Recipe, cosine, train

__all__ = [
    "Codebook",
    "Constraint",
    "Distillation",
    "FinetuneError",
    "Masks",
    "Objective",
    "Outcome",
    "Pruner",
    "Pruning",
    "Recipe",
    "Sharing",
    "Sparsity",
    "centroid_gradient",
    "cosine",
    "cubic",
    "feature_loss",
    "hoyer",
    "logit_loss",
    "lowest",
    "magnitude",
    "overrides",
    "prune",
    "retrain",
    "share",
    "taylor",
    "train",
    "tune",
    "weight_names",
]
