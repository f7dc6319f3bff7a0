"""Pruning, shared weights and their training, distillation, sparsity, checkpoints."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import neuralcodec
from bench import dead_units
from neuralcodec import finetune as ft
from neuralcodec.finetune.share import reassigned


def network(seed=0, dropout=0.0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def teacher():
    return network(99)


def batches(count=6, size=32):
    """Inputs with classes that another network gives them."""
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(count, size, 8, generator=generator)
    with torch.no_grad():
        classes = teacher()(inputs).argmax(-1)
    return list(zip(inputs, classes, strict=True))


def shuffled(number):
    """A loader that depends on torch's random numbers."""
    data = batches()
    return [data[i] for i in torch.randperm(len(data))]


def loss(output, batch):
    return F.cross_entropy(output, batch[1])


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def zeros(weight):
    return float((weight == 0).float().mean())


# --- pruning ---


def test_cubic_schedule_is_that_of_the_paper():
    assert ft.cubic(0, 0, 100, 0.8) == 0
    assert ft.cubic(100, 0, 100, 0.8) == 0.8
    assert ft.cubic(50, 0, 100, 0.8) == pytest.approx(0.8 - 0.8 * 0.125)
    assert ft.cubic(35, 10, 60, 0.9, 0.5) == pytest.approx(0.9 - 0.4 * 0.5**3)
    assert ft.cubic(5, 10, 60, 0.9, 0.5) == 0.5
    assert ft.cubic(7, 7, 7, 0.9) == 0.9


def test_lowest_prunes_by_tensor_or_by_all_of_them():
    scores = {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor([10.0, 0.5, 30.0, 40.0])}
    each = ft.lowest(scores, 0.5)
    assert each["a"].tolist() == [[False, False], [True, True]]
    assert each["b"].tolist() == [False, False, True, True]
    together = ft.lowest(scores, 0.5, "global")
    assert together["a"].tolist() == [[False, False], [False, True]]
    assert together["b"].tolist() == [True, False, True, True]
    named = ft.lowest(scores, {"a": 0.25})
    assert named["a"].tolist() == [[False, True], [True, True]]
    assert named["b"].all()


def test_equal_scores_are_pruned_to_the_exact_count():
    assert int(ft.lowest({"a": torch.ones(10)}, 0.3)["a"].sum()) == 7


def test_scores():
    weights, gradients = {"a": torch.tensor([-2.0, 1.0])}, {"a": torch.tensor([0.5, -3.0])}
    assert ft.magnitude(weights)["a"].tolist() == [2.0, 1.0]
    assert ft.taylor(weights, gradients)["a"].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
@pytest.mark.parametrize("scope", ["tensor", "global"])
def test_masks_hold_through_training(criterion, scope):
    model = network()
    decayed = lambda variables, rate: torch.optim.AdamW(variables, rate, weight_decay=0.1)  # noqa: E731
    pruning = ft.Pruning(0.75, scope, criterion, every=3)
    masks = ft.prune(model, batches(), loss, ft.Recipe(40, optimizer=decayed), pruning, quiet=True)
    assert set(masks) == {"0.weight", "3.weight"}
    assert sum(int(m.sum()) for m in masks.values()) == 44  # a quarter of 176
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    ft.retrain(model, batches(), loss, ft.Recipe(20, optimizer=decayed), masks, quiet=True)
    for name, parameter in model.named_parameters():
        if name in masks:
            assert torch.equal(parameter != 0, masks[name])
        assert not torch.equal(parameter, before[name])


def test_a_gradient_step_with_momentum_leaves_pruned_weights_at_zero():
    model = network()
    masks = {"0.weight": torch.rand(16, 8, generator=torch.Generator().manual_seed(1)) < 0.5}
    momentum = lambda variables, rate: torch.optim.SGD(variables, rate, momentum=0.9)  # noqa: E731
    ft.train(model, batches(), loss, ft.Recipe(10, 0.1, optimizer=momentum), None, quiet=True)
    ft.retrain(model, batches(), loss, ft.Recipe(10, 0.1, optimizer=momentum), masks, quiet=True)
    assert not model[0].weight[~masks["0.weight"]].any()
    assert (model[0].weight[masks["0.weight"]] != 0).all()
    assert (model[3].weight != 0).all()


def test_sparsity_by_tensor():
    model = network()
    pruning = ft.Pruning({"0.weight": 0.5, "3.weight": 0.25}, every=5)
    ft.prune(model, batches(), loss, ft.Recipe(20), pruning, quiet=True)
    assert zeros(model[0].weight) == 0.5
    assert zeros(model[3].weight) == 0.25


def test_pruned_weights_do_not_come_back():
    model = network()
    recipe = ft.Recipe(60, 1e-2)
    first = ft.prune(model, batches(), loss, recipe, ft.Pruning(0.5, "global", "taylor", every=1), quiet=True)
    second = ft.prune(model, batches(), loss, recipe, ft.Pruning(0.8, "global", "taylor", every=1), quiet=True)
    assert sum(int(m.sum()) for m in second.values()) == round(0.2 * 176)
    for name in first:
        assert not (second[name] & ~first[name]).any()


@pytest.mark.parametrize(
    ("steps", "options"),
    [
        (1005, {"begin": 0.1, "end": 0.1}),
        (101, {"begin": 0.5, "end": 0.5}),
        (101, {"begin": 0.3, "end": 0.301}),
        (100, {"begin": 1.0, "end": 1.0}),
        (10, {"criterion": "taylor", "begin": 0.0, "end": 0.0}),
        (10, {"criterion": "taylor", "begin": 0.0, "end": 0.05}),
        (2, {"criterion": "taylor"}),
        (1, {}),
    ],
)
def test_all_that_is_asked_for_is_pruned(steps, options):
    model = network()
    masks = ft.prune(model, batches(), loss, ft.Recipe(steps), ft.Pruning(0.75, **options), quiet=True)
    assert all(zeros(mask) == 0.75 for mask in masks.values())
    assert zeros(model[0].weight) == 0.75


@pytest.mark.parametrize("scope", ["tensor", "global"])
def test_a_lower_goal_revives_nothing(scope):
    model = network()
    ft.prune(model, batches(), loss, ft.Recipe(10), ft.Pruning({"0.weight": 0.95, "3.weight": 0.5}), quiet=True)
    was = model[0].weight == 0
    ft.prune(model, batches(), loss, ft.Recipe(10), ft.Pruning(0.75, scope=scope), quiet=True)
    assert (model[0].weight[was] == 0).all()
    if scope == "tensor":
        assert zeros(model[3].weight) == 0.75


def test_checkpoints_of_other_prunings_are_refused(tmp_path):
    path = str(tmp_path / "prune.pt")  # a string will do

    def run(optimizer=torch.optim.Adam, **options):
        recipe, pruning = ft.Recipe(4, optimizer=optimizer, save_every=1), ft.Pruning(0.5, **options)
        return ft.prune(network(), batches(), loss, recipe, pruning, checkpoint=path, quiet=True)

    run(names=["0.weight"])
    assert list(run(names=["0.weight"])) == ["0.weight"]
    for options, said in (
        ({"names": ["3.weight"]}, "holds masks of 0.weight"),
        ({"names": ["0.weight"], "criterion": "taylor"}, "another criterion"),
        ({"names": ["0.weight"], "optimizer": torch.optim.SGD}, "optimizer is another"),
    ):
        with pytest.raises(ft.FinetuneError, match=said):
            run(**options)
    torch.save({"version": 1}, path)
    with pytest.raises(ft.FinetuneError, match="no checkpoint of this version"):
        run()


def test_what_cannot_be_trained_is_named():
    taylor = ft.Pruning(0.5, criterion="taylor")
    with pytest.raises(ft.FinetuneError, match="2 steps at least"):
        ft.prune(network(), batches(), loss, ft.Recipe(1), taylor, quiet=True)
    with pytest.raises(ft.FinetuneError, match="nothing to train"):
        ft.train(network().requires_grad_(False), batches(), loss, ft.Recipe(1), quiet=True)
    each = ft.Objective(lambda output, batch: F.cross_entropy(output, batch[1], reduction="none"))
    with pytest.raises(ft.FinetuneError, match=r"loss has shape \[32\]"):
        ft.train(network(), batches(), each, ft.Recipe(1), quiet=True)
    with pytest.raises(ft.FinetuneError, match="a mapping has no first item"):
        ft.train(network(), [{"x": 1}], loss, ft.Recipe(1), quiet=True)
    with pytest.raises(ft.FinetuneError, match="is one sample"):
        ft.train(network(), [torch.zeros(4, 8)], lambda output, batch: output.mean(), ft.Recipe(1), quiet=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_are_tuned(dtype):
    model = network().to(dtype)
    books = ft.share(model, 4)
    data = [(inputs.to(dtype), classes) for inputs, classes in batches()]
    books = ft.tune(model, data, loss, ft.Recipe(6), books, refresh=2, quiet=True)
    assert all(len(weight.unique()) <= 4 for weight in (model[0].weight, model[3].weight))


def test_errors_of_pruning_name_the_tensor():
    recipe = ft.Recipe(2)
    with pytest.raises(ft.FinetuneError, match=r"'nope'.*no parameter"):
        ft.prune(network(), batches(), loss, recipe, ft.Pruning({"nope": 0.5}), quiet=True)
    with pytest.raises(ft.FinetuneError, match=r"'0.weight'.*shape \(3, 3\)"):
        ft.retrain(network(), batches(), loss, recipe, {"0.weight": torch.ones(3, 3, dtype=torch.bool)}, quiet=True)
    for bad in ({"sparsity": 1.5}, {"sparsity": 0.5, "begin": 0.9, "end": 0.1}, {"sparsity": 0.5, "every": 0}):
        with pytest.raises(ValueError, match="expected, not"):
            ft.Pruning(**bad)
    for unused in ({"names": ["3.weight"]}, {"scope": "global"}):
        with pytest.raises(ValueError, match="nothing left"):
            ft.Pruning({"0.weight": 0.5}, **unused)


def test_weights_without_a_shape_are_not_passed_over():
    model = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, 3))
    with pytest.raises(ft.FinetuneError, match=r"'0.weight'.*no shape yet"):
        ft.prune(model, batches(), loss, ft.Recipe(2), ft.Pruning(0.5), quiet=True)
    with pytest.raises(ft.FinetuneError, match=r"'0.weight'.*no shape yet"):
        ft.share(model, 4)
    with pytest.raises(ft.FinetuneError, match="no parameter to make sparse"):
        ft.Sparsity(0.1).term(nn.ReLU())


def test_what_gets_no_gradient_is_not_pruned_by_gradients():
    model = network()
    model[3].weight.requires_grad_(False)
    taylor = ft.Pruning(0.5, scope="global", criterion="taylor")
    with pytest.raises(ft.FinetuneError, match=r"'3.weight'.*requires none"):
        ft.prune(model, batches(), loss, ft.Recipe(5), taylor, quiet=True)
    before = model[3].weight.clone()
    named = ft.Pruning(0.5, scope="global", criterion="taylor", names=["0.weight"])
    ft.prune(model, batches(), loss, ft.Recipe(5), named, quiet=True)
    assert zeros(model[0].weight) == 0.5
    assert torch.equal(model[3].weight, before)


# --- shared weights ---


def test_centroid_gradient_is_the_sum_over_weights():
    book = ft.Codebook(torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([[0, 1, 2], [2, 2, 0]]), 1)
    gradient = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert ft.centroid_gradient(book, gradient).tolist() == [7.0, 0.0, 12.0]
    free = ft.Codebook(book.centroids, book.indices, None)
    assert ft.centroid_gradient(free, gradient).tolist() == [7.0, 2.0, 12.0]


def test_one_step_moves_centroids_as_computed_by_hand():
    model = network()
    books = ft.share(model, 4)
    batch = batches(1)
    shared = copy.deepcopy(model)
    loss(shared(batch[0][0]), batch[0]).backward()
    tuned = ft.tune(model, batch, loss, ft.Recipe(1, 0.01, optimizer=torch.optim.SGD), books, quiet=True)
    for name, parameter in shared.named_parameters():
        if name not in books:
            continue
        for i, centroid in enumerate(books[name].centroids.tolist()):
            moved = float(parameter.grad[books[name].indices == i].sum())
            wanted = 0.0 if i == books[name].zero else centroid - 0.01 * moved
            assert float(tuned[name].centroids[i]) == pytest.approx(wanted, abs=1e-6)


def test_share_and_tune_keep_zero_and_indices():
    model = network()
    masks = ft.prune(model, batches(), loss, ft.Recipe(20), ft.Pruning(0.5), quiet=True)
    books = ft.share(model, {"0.weight": 8, "3.weight": 4})
    tuned = ft.tune(model, batches(), loss, ft.Recipe(30), books, quiet=True)
    for name, count in {"0.weight": 8, "3.weight": 4}.items():
        weight = dict(model.named_parameters())[name]
        assert len(weight.unique()) <= count
        assert not weight[~masks[name]].any()
        assert torch.equal(weight, tuned[name].expand())
        assert torch.equal(tuned[name].indices, books[name].indices)
        assert tuned[name].centroids[tuned[name].zero] == 0


def test_a_few_zeros_stay_zeros_whatever_the_rate():
    torch.manual_seed(3)
    model = nn.Linear(64, 64)
    with torch.no_grad():
        model.weight[torch.rand(64, 64) < 0.01] = 0
    pruned = model.weight == 0
    books = ft.share(model, 8, entropy=0.3)
    assert pruned.any()
    assert not model.weight[pruned].any()
    assert torch.equal(model.weight, books["weight"].expand())


def test_refreshed_assignments_follow_the_weights_and_leave_pruned_ones():
    model = network()
    masks = ft.prune(model, batches(), loss, ft.Recipe(20), ft.Pruning(0.5), quiet=True)
    books = ft.share(model, 4)
    tuned = ft.tune(model, batches(), loss, ft.Recipe(60, 1e-2), books, refresh=5, quiet=True)
    assert any(not torch.equal(tuned[name].indices, books[name].indices) for name in books)
    for name, parameter in model.named_parameters():
        if name in books:
            assert torch.equal(parameter, tuned[name].expand())
            assert not parameter[~masks[name]].any()


def test_reassigned_takes_the_nearest_whatever_the_order():
    book = ft.Codebook(torch.tensor([3.0, 0.0, -1.0]), torch.tensor([0, 1, 2, 0]), 1)
    weights = torch.tensor([-0.9, 2.0, 0.1, 1.4])
    assert reassigned(book, weights).indices.tolist() == [2, 1, 1, 1]
    free = ft.Codebook(book.centroids, book.indices, None)
    assert reassigned(free, weights).indices.tolist() == [2, 0, 1, 1]


def test_errors_of_sharing_name_the_tensor():
    model = network()
    for counts, message in (({"nope": 4}, "no parameter"), ({"0.weight": 1}, "2 to 256"), ({"0.weight": 257}, "257")):
        with pytest.raises(ft.FinetuneError, match=message) as caught:
            ft.share(model, counts)
        assert caught.value.tensor in counts
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(ft.FinetuneError, match=r"'0.weight'.*NaN"):
        ft.share(model, 4)
    with pytest.raises(ft.FinetuneError, match="in float32"):
        ft.share(nn.Linear(4, 4).double().requires_grad_(False).apply(lambda layer: layer.weight.fill_(1e60)), 4)
    for entropy in (-1.0, math.nan):
        with pytest.raises(ValueError, match="entropy: 0 or more"):
            ft.share(network(), 4, entropy=entropy)
    with pytest.raises(ft.FinetuneError, match=r"real floats.*complex64"):
        ft.share(nn.Linear(4, 4, dtype=torch.complex64), 4)
    books = ft.share(network(), 4)
    with pytest.raises(ft.FinetuneError, match="no parameter"):
        ft.tune(nn.Linear(2, 2), [], loss, ft.Recipe(1), books, quiet=True)


def test_pipeline_to_a_file(tmp_path):
    model = network()
    original = copy.deepcopy(model)
    objective = ft.Objective(loss, distillation=ft.Distillation(original))
    masks = ft.prune(model, batches(), objective, ft.Recipe(30), ft.Pruning(0.5), quiet=True)
    ft.retrain(model, batches(), objective, ft.Recipe(10), masks, quiet=True)
    books = ft.tune(model, batches(), objective, ft.Recipe(10), ft.share(model, 8), quiet=True)
    cm = neuralcodec.encode(model, "kmeans", include=list(books), overrides=ft.overrides(books), centroids="fp32")
    neuralcodec.save(cm, tmp_path / "model.safetensors")
    for name, tensor in neuralcodec.decode(tmp_path / "model.safetensors").items():
        assert torch.equal(tensor, model.state_dict()[name]), name


# --- terms of the loss ---


def test_logit_loss_by_hand():
    student, goal, t = [2.0, 0.0], [1.0, 0.0], 2.0
    p = [math.exp(x / t) / sum(math.exp(y / t) for y in goal) for x in goal]
    q = [math.exp(x / t) / sum(math.exp(y / t) for y in student) for x in student]
    wanted = t**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    got = ft.logit_loss(torch.tensor([student, student]), torch.tensor([goal, goal]), t)
    assert float(got) == pytest.approx(wanted, rel=1e-5)
    assert float(ft.logit_loss(torch.tensor([goal]), torch.tensor([goal]), t)) == pytest.approx(0, abs=1e-7)


def test_logit_loss_of_float16_is_that_of_the_same_logits():
    generator = torch.Generator().manual_seed(1)
    goal = torch.randn(64, 100, generator=generator) * 3
    student = (goal + torch.randn(64, 100, generator=generator) * 0.02).half()
    wanted = ft.logit_loss(student.double(), goal.half().double(), 4.0)
    assert float(ft.logit_loss(student, goal.half(), 4.0)) == pytest.approx(float(wanted), rel=0.01)


def test_features_and_logits_of_other_shapes_are_refused():
    for term in (ft.feature_loss, lambda student, goal: ft.logit_loss(student, goal, 1.0)):
        with pytest.raises(ft.FinetuneError, match=r"\[4, 8\] cannot learn from \[4, 1\]"):
            term(torch.ones(4, 8), torch.ones(4, 1))


def test_features_are_what_a_module_gave_whatever_is_done_to_it_in_place():
    made = [nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 3)) for _ in range(2)]
    batch = batches(1)[0]
    taught = ft.Distillation(made[1], weight=0, features={"0": 1.0})
    terms = ft.Objective(loss, distillation=taught).terms(made[0], batch)
    assert torch.equal(terms["features of 0"], F.mse_loss(made[0][0](batch[0]), made[1][0](batch[0])))


def test_objective_adds_its_terms():
    model, original, batch = network(1), network(2), batches(1)[0]
    taught = ft.Distillation(original, weight=0.5, temperature=3.0, features={"0": 0.25}, task=0.1)
    terms = ft.Objective(loss, distillation=taught, sparsity=ft.Sparsity(0.01)).terms(model, batch)
    terms = {name: term.detach() for name, term in terms.items()}
    with torch.no_grad():
        output, goal = model(batch[0]), original(batch[0])
    assert float(terms["loss"]) == pytest.approx(0.1 * float(loss(output, batch)), rel=1e-6)
    assert float(terms["distillation"]) == pytest.approx(0.5 * float(ft.logit_loss(output, goal, 3.0)), rel=1e-6)
    hidden = float(F.mse_loss(model[0](batch[0]), original[0](batch[0])).detach())
    assert float(terms["features of 0"]) == pytest.approx(0.25 * hidden, rel=1e-6)
    norms = sum(float((p.abs().sum() / p.norm()).detach()) for p in (model[0].weight, model[3].weight))
    assert float(terms["sparsity"]) == pytest.approx(0.01 * norms, rel=1e-5)


def test_distillation_brings_the_model_to_the_teacher():
    model, original = network(1), teacher()
    objective = ft.Objective(loss, distillation=ft.Distillation(original, task=0.0))
    apart = [float(objective.terms(model, b)["distillation"].detach()) for b in batches()]
    ft.train(model, batches(), objective, ft.Recipe(200, 1e-2), quiet=True)
    after = [float(objective.terms(model, b)["distillation"].detach()) for b in batches()]
    assert sum(after) < 0.1 * sum(apart)
    assert all(p.grad is None for p in original.parameters())
    assert original.training


def test_a_teacher_that_fails_keeps_its_mode():
    class Failing(nn.Linear):
        def forward(self, x):
            raise ValueError("fails")

    taught = ft.Distillation(Failing(8, 3))
    with pytest.raises(ValueError, match="fails"):
        ft.train(network(), batches(), ft.Objective(loss, distillation=taught), ft.Recipe(1), quiet=True)
    assert taught.teacher.training


def test_module_that_is_not_there_is_named():
    taught = ft.Distillation(teacher(), features={"nope": 1.0})
    with pytest.raises(ft.FinetuneError, match="'nope'"):
        ft.train(network(), batches(), ft.Objective(loss, distillation=taught), ft.Recipe(1), quiet=True)


def test_hoyer():
    weights = torch.tensor([3.0, -4.0, 0.0])
    assert float(ft.hoyer(weights)) == pytest.approx(7 / 5)
    assert float(ft.hoyer(weights, squared=True)) == pytest.approx(49 / 25)
    assert float(ft.hoyer(10 * weights)) == pytest.approx(7 / 5)
    nothing = torch.zeros(3, requires_grad=True)
    ft.hoyer(nothing).backward()
    assert torch.isfinite(nothing.grad).all()


def test_hoyer_of_float16_that_is_beyond_its_range():
    weights = torch.full((100, 200), 3.0, dtype=torch.float16)
    assert float(ft.hoyer(weights)) == pytest.approx(math.sqrt(20_000), rel=1e-4)


def test_sparsity_term_draws_weights_to_zero():
    plain, sparse = network(), network()
    ft.train(plain, batches(), loss, ft.Recipe(150, 1e-2), quiet=True)
    objective = ft.Objective(loss, sparsity=ft.Sparsity(0.05))
    ft.train(sparse, batches(), objective, ft.Recipe(150, 1e-2), quiet=True)
    with torch.no_grad():
        assert float(ft.hoyer(sparse[0].weight)) < 0.8 * float(ft.hoyer(plain[0].weight))


# --- the loop: seeds, checkpoints, errors ---


def steps_of(model, name, recipe, path, loader=shuffled):
    """Runs one of the three steps with a checkpoint."""
    if name == "prune":
        pruning = ft.Pruning(0.5, "global", "taylor", every=4)
        ft.prune(model, loader, loss, recipe, pruning, checkpoint=path, quiet=True)
    elif name == "retrain":
        masks = {"0.weight": torch.arange(128).view(16, 8) % 3 > 0}
        ft.retrain(model, loader, loss, recipe, masks, checkpoint=path, quiet=True)
    else:
        books = ft.share(model, 4)
        refresh = 3 if name == "refresh" else None
        ft.tune(model, loader, loss, recipe, books, refresh=refresh, checkpoint=path, quiet=True)


@pytest.mark.parametrize("name", ["prune", "retrain", "tune", "refresh"])
@pytest.mark.parametrize("cut", [7, 12, 20])
def test_a_run_that_was_cut_off_ends_like_one_that_was_not(tmp_path, name, cut):
    recipe = ft.Recipe(29, 1e-2, save_every=5)
    whole = network(dropout=0.3)
    steps_of(whole, name, recipe, None)

    given = 0

    def cut_off(number):
        nonlocal given
        for batch in shuffled(number):
            if given == cut:
                raise KeyboardInterrupt
            given += 1
            yield batch

    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        steps_of(network(dropout=0.3), name, recipe, path, cut_off)
    assert path.exists()
    torch.manual_seed(12345)  # what the caller's random numbers are does not matter
    resumed = network(dropout=0.3)
    steps_of(resumed, name, recipe, path)
    assert same(whole, resumed)
    again = network(dropout=0.3)
    steps_of(again, name, recipe, path)  # finished: nothing is left to do
    assert same(whole, again)
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


class Drifting(nn.Module):
    """Keeps a running mean that is not saved with it, whose shape comes with the first batch."""

    def __init__(self):
        super().__init__()
        self.layer = network()
        self.register_buffer("mean", torch.zeros(()), persistent=False)

    def forward(self, x):
        y = self.layer(x)
        self.mean = 0.9 * self.mean + 0.1 * y.detach().mean(0)
        return y - self.mean


@pytest.mark.parametrize("make", [network, Drifting])
def test_what_a_checkpoint_holds_besides_parameters(tmp_path, make):
    recipe = ft.Recipe(9, np.float64(1e-2), schedule=lambda share: np.interp(share, [0, 1], [1, 0]), save_every=3)
    whole = make()
    ft.train(whole, batches(), loss, recipe, quiet=True)
    given = 0

    def failing(output, batch):
        nonlocal given
        given += 1
        return loss(output, batch) * (math.nan if given == 5 else 1)

    path = tmp_path / "run.pt"
    with pytest.raises(ft.FinetuneError, match="keeps step 3"):
        ft.train(make(), batches(), failing, recipe, checkpoint=path, quiet=True)
    resumed = make()
    ft.train(resumed, batches(), loss, recipe, checkpoint=path, quiet=True)
    assert same(whole, resumed)
    assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), resumed.buffers(), strict=True))


def test_a_checkpoint_that_could_not_be_read_is_an_error_at_once(tmp_path):
    class Counting(nn.Linear):
        def get_extra_state(self):
            return np.float64(1)

        def set_extra_state(self, state):
            pass

    recipe = ft.Recipe(9, save_every=2)
    with pytest.raises(ft.FinetuneError, match="could not be read again"):
        ft.train(Counting(8, 3), batches(), loss, recipe, checkpoint=tmp_path / "run.pt", quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_shuffling_data_loader_is_resumed_where_it_was(tmp_path):
    inputs = torch.cat([batch[0] for batch in batches()])
    classes = torch.cat([batch[1] for batch in batches()])
    loader = DataLoader(TensorDataset(inputs, classes), batch_size=32, shuffle=True)
    recipe, path = ft.Recipe(21, 1e-2, save_every=4), tmp_path / "run.pt"
    whole, resumed = network(dropout=0.3), network(dropout=0.3)
    ft.train(whole, loader, loss, recipe, quiet=True)
    asked = 0

    def cut_off(output, batch):
        nonlocal asked
        asked += 1
        if asked == 15:
            raise KeyboardInterrupt
        return loss(output, batch)

    with pytest.raises(KeyboardInterrupt):
        ft.train(resumed, loader, cut_off, recipe, checkpoint=path, quiet=True)
    resumed = network(dropout=0.3)
    ft.train(resumed, loader, loss, recipe, checkpoint=path, quiet=True)
    assert same(whole, resumed)


def test_same_seed_same_weights_other_seed_others():
    models = [network(dropout=0.3) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        torch.rand(seed)
        ft.train(model, shuffled, loss, ft.Recipe(15, seed=seed), quiet=True)
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


def test_random_numbers_and_modes_of_the_caller_are_left_alone():
    model = network(dropout=0.3).eval()
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    ft.train(model, shuffled, loss, ft.Recipe(5), quiet=True)
    assert torch.equal(torch.rand(4), wanted)
    assert not any(module.training for module in model.modules())


def test_a_module_may_make_layers_when_it_runs():
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 16)

        def forward(self, x):
            if not hasattr(self, "last"):
                self.last = nn.Linear(16, 3)
            return self.last(self.first(x))

    model, original = Growing().eval(), Growing().eval()
    objective = ft.Objective(loss, distillation=ft.Distillation(original))
    ft.train(model, batches(), objective, ft.Recipe(2), quiet=True)
    assert not any(module.training for module in (*model.modules(), *original.modules()))


def test_no_gradients_are_left():
    model = network()
    loss(model(batches()[0][0]), batches()[0]).backward()
    books = ft.share(model, {"0.weight": 4})
    ft.tune(model, batches(), loss, ft.Recipe(2), books, quiet=True)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_autocast_around_a_training_sees_the_weights_of_each_step():
    def forward(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return model(batch[0])

    def wide(output, batch):
        return loss(output.float(), batch)

    inside, around = network(), network()
    ft.train(inside, batches(), ft.Objective(wide, forward=forward), ft.Recipe(10), quiet=True)
    with torch.autocast("cpu", torch.bfloat16):
        ft.train(around, batches(), wide, ft.Recipe(10), quiet=True)
    assert same(inside, around)


def test_steps_are_whole():
    for bad in ({"steps": 3.5}, {"steps": -1}, {"steps": math.nan}, {"steps": 3, "save_every": 0.5}):
        with pytest.raises(ValueError, match="integers"):
            ft.Recipe(**bad)
    assert ft.train(network(), batches(6), loss, ft.Recipe(3.0), quiet=True).steps == 3


def test_outcome_counts_steps_and_passes():
    outcome = ft.train(network(), batches(6), loss, ft.Recipe(15), quiet=True)
    assert outcome.steps == 15
    assert len(outcome.losses) == 3
    assert outcome.losses[-1] < outcome.losses[0]


def test_an_empty_loader_is_an_error():
    with pytest.raises(ft.FinetuneError, match=r"ran dry after 0 of 5 steps"):
        ft.train(network(), [], loss, ft.Recipe(5), quiet=True)


def test_an_exhausted_iterator_is_an_error_and_the_checkpoint_is_kept(tmp_path):
    path = tmp_path / "run.pt"
    with pytest.raises(ft.FinetuneError, match=r"ran dry after 6 of 20 steps.*only once"):
        ft.train(network(), iter(batches(6)), loss, ft.Recipe(20), checkpoint=path, quiet=True)
    whole, resumed = network(), network()
    ft.train(whole, batches(6), loss, ft.Recipe(20), quiet=True)
    ft.train(resumed, batches(6), loss, ft.Recipe(20), checkpoint=path, quiet=True)
    assert same(whole, resumed)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path, bad):
    path = tmp_path / "run.pt"
    asked = 0

    def breaks(output, batch):
        nonlocal asked
        asked += 1
        return loss(output, batch) * (bad if asked == 9 else 1)

    with pytest.raises(ft.FinetuneError, match=rf"loss is {bad} at step 8; .*run\.pt keeps step 5"):
        ft.train(network(), shuffled, breaks, ft.Recipe(20, save_every=5), checkpoint=path, quiet=True)
    whole, resumed = network(), network()
    ft.train(whole, shuffled, loss, ft.Recipe(20, save_every=5), quiet=True)
    ft.train(resumed, shuffled, loss, ft.Recipe(20, save_every=5), checkpoint=path, quiet=True)
    assert same(whole, resumed)


def test_weights_that_blow_up_are_not_kept(tmp_path):
    recipe = ft.Recipe(1, 1e38, optimizer=torch.optim.SGD)
    path = tmp_path / "run.pt"
    steep = lambda output, batch: 1e6 * loss(output, batch)  # noqa: E731
    with pytest.raises(ft.FinetuneError, match=r"weights are NaN or infinite at step 1"):
        ft.train(network(), batches(), steep, recipe, checkpoint=path, quiet=True)
    assert not path.exists()


def test_checkpoints_of_other_runs_and_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "run.pt"
    ft.train(network(), batches(), loss, ft.Recipe(5), checkpoint=path, quiet=True)
    with pytest.raises(ft.FinetuneError, match="another run"):
        ft.train(network(), batches(), loss, ft.Recipe(6), checkpoint=path, quiet=True)
    with pytest.raises(ft.FinetuneError, match="another model"):
        ft.train(nn.Linear(8, 3), batches(), loss, ft.Recipe(5), checkpoint=path, quiet=True)
    for other in (torch.optim.AdamW, lambda variables, rate: torch.optim.Adam(variables, rate, betas=(0.8, 0.9))):
        with pytest.raises(ft.FinetuneError, match="its optimizer is Adam of"):
            ft.train(network(), batches(), loss, ft.Recipe(5, optimizer=other), checkpoint=path, quiet=True)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ft.FinetuneError, match="cannot be read"):
        ft.train(network(), batches(), loss, ft.Recipe(5), checkpoint=path, quiet=True)


def test_progress_is_shown_unless_quiet(capsys):
    ft.train(network(), batches(), loss, ft.Recipe(3), quiet=True)
    assert capsys.readouterr() == ("", "")
    ft.train(network(), batches(), loss, ft.Recipe(3))
    assert "training" in "".join(capsys.readouterr())


# --- units without weights ---


def without_some_weights(model, share):
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(8)
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and not name.startswith(f"{len(model) - 1}."):
                parameter[torch.rand(len(parameter)) < share] = 0
                parameter[:, torch.rand(parameter.shape[1]) < share] = 0
    return model


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_dead_units_change_nothing_when_they_go(share):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        dense = [nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4)]
        convolutions = [nn.Conv2d(1, 6, 3), nn.MaxPool2d(2), nn.Conv2d(6, 7, 2), nn.ReLU()]
        models = [nn.Sequential(*dense), nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(28, 8), nn.Linear(8, 4))]
        inputs = torch.randn(16, 1, 8, 8)
    for model in models:
        without_some_weights(model, share)
        small = dead_units.without(model)
        assert torch.allclose(small(inputs), model(inputs), atol=1e-5)
        count = [sum(p.numel() for p in each.parameters()) for each in (small, model)]
        assert count[0] < count[1] if share else count[0] == count[1]
        again = dead_units.shaped(copy.deepcopy(model), small.state_dict())
        again.load_state_dict(small.state_dict())
        assert torch.equal(again(inputs), small(inputs))


def test_networks_whose_dead_units_cannot_go_are_refused():
    for model in (nn.Linear(2, 2), nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 3, padding=1))):
        with pytest.raises(TypeError, match=r"expected|padded"):
            dead_units.without(model)
