"""The tables of bench/deep_compression.py, from made-up points; what is trained is tested in test_finetune.py."""

import json

import pytest
import torch
from typer.testing import CliRunner

from bench import deep_compression as dc
from bench import training
from bench.datasets import Images
from neuralcodec import finetune as ft

TASK = dc.TASKS[0]


def point(seed, test, size=10_000, **more):
    fields = {"network": "lenet300", "whole": True, "seed": seed, "target": 0.9, "sparsity": 0.9, "clusters": 8}
    fields |= {"bytes": size, "ratio": 1_066_440 / size, "validation": None, "test": test, "seconds": 1.0}
    return dc.Point(**{**fields, **more})


def found(row, curve=()):
    starts = dc.Start("lenet300", True, 266_610, None, 1.2), dc.Start("lenet300", False, 266_610, 1.3, 1.16)
    return dc.Found(TASK, starts, list(row), list(curve))


def test_row_is_reached_only_if_every_seed_reaches_it():
    line = dc.row(found([point(0, 1.4), point(1, 1.5)]))
    assert line[-1] == "yes"
    assert line[7] == "1.45 ± 0.05 %"
    assert dc.row(found([point(0, 1.4), point(1, 1.59)]))[-1] == "no"
    assert dc.row(found([point(0, 1.4), point(1, 1.4, size=30_000)]))[-1] == "no"
    assert dc.row(found([]))[-1] == "not measured"


def test_mean_has_its_standard_error():
    assert dc.mean([1.0, 2.0, 4.5]) == "2.50 ± 1.04 %"
    assert dc.mean([1234.0], "", 0) == "1,234"


def test_curve_has_a_line_for_each_setting():
    curve = [point(s, 1.4 + s, target=t, validation=1.5) for s in (0, 1) for t in (0.9, 0.95)]
    lines = dc.curve_rows(found([], curve))
    assert len(lines) == 3
    assert lines[1][6] == "1.90 ± 0.50 %"
    assert lines[1][7] == "2"
    assert all(len(line) == len(dc.CURVE_HEADINGS) for line in lines)
    assert len(dc.row(found([]))) == len(dc.row(found([point(0, 1.0)]))) == len(dc.ROW_HEADINGS)
    text = dc.page([found([point(0, 1.4)], curve)])
    assert "| LeNet-300-100 |" in text
    assert "## LeNet-300-100" in text


def test_the_furthest_point_is_chosen_by_held_out_images():
    """The smallest file within the mark on those, whatever the test images say."""
    curve = [
        point(0, 0.5, size=9_000, target=0.9, validation=1.0),
        point(0, 2.0, size=6_000, target=0.95, validation=1.5),
        point(0, 0.1, size=3_000, target=0.99, validation=1.7),
    ]
    (line,) = dc.furthest_rows(found([], curve))
    assert line[4] == "6,000"
    assert line[-2:] == ["1.50 %", "2.00 %"]
    assert len(line) == len(dc.FURTHEST_HEADINGS)
    (line,) = dc.furthest_rows(found([]))
    assert line[2] == "none"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A task of seconds: a few noisy images, of which two pixels tell the class."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 10, (1200,), generator=generator)
    pixels = torch.randint(0, 60, (1200, 28, 28), generator=generator)
    for i, c in enumerate(classes):
        pixels[i, 2 * c + 4, 5:20] = 255
    pixels, classes = pixels.to(torch.uint8), classes.to(torch.uint8)
    images = Images(pixels[:1000], classes[:1000], pixels[1000:], classes[1000:])
    monkeypatch.setenv("NEURALCODEC_BENCH", str(tmp_path))
    monkeypatch.setattr(dc.datasets, "mnist", lambda: images)
    monkeypatch.setattr(dc, "HELD_OUT", 200)
    monkeypatch.setattr(dc, "FILES", tmp_path / "files")
    monkeypatch.setattr(dc, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(dc, "PAGE", tmp_path / "page.md")
    task = dc.Task(
        *("lenet300", "LeNet", TASK.build, training.Recipe(epochs=10, rate=3e-3, shift=1)),
        marks=(dc.Mark("a paper", 5.0, 50.0),),
        row=dc.Stage(0.8, 5, (8,), 2),
        curve=(dc.Stage(0.8, 5, (8,), 2), dc.Stage(0.9, 5, (4, 8), 2)),
    )
    monkeypatch.setattr(dc, "TASKS", (task,))
    monkeypatch.setattr(dc, "original", lambda task, whole: training.train("tiny", task.build, images, task.recipe))
    return task


def test_points_of_a_tiny_task(tiny, tmp_path):
    made = list(dc.points(tiny, tiny.curve, 0, whole=False, finished=False, quiet=True))
    assert [(p.target, p.clusters) for p in made] == [(0.8, 8), (0.9, 4), (0.9, 8)]
    for p in made:
        file = tmp_path / "files" / f"lenet300-held-out-{p.target:g}-{p.clusters}-0.safetensors"
        assert p.bytes == file.stat().st_size
        assert p.ratio == pytest.approx(1_066_440 / p.bytes)
        assert p.sparsity >= p.target - 1e-6
        assert p.test < 50  # of ten classes
    again = list(dc.points(tiny, tiny.curve, 0, whole=False, finished=True, quiet=True))
    assert again == made
    assert not list(dc.points(tiny, tiny.curve, 1, whole=False, finished=True, quiet=True))


def test_command_line(tiny, tmp_path):
    app = dc.typer.Typer()
    app.command()(dc.main)
    threads = torch.get_num_threads()
    result = CliRunner().invoke(app, ["--seeds", "1", "--curve", "--curve-seeds", "1", "--quiet"])
    torch.set_num_threads(threads)
    assert result.exit_code == 0, result.output
    assert len(json.loads((tmp_path / "results.json").read_text())[0]["points"]) == 4
    assert (tmp_path / "page.md").read_text().startswith("# Deep Compression on MNIST")
    assert CliRunner().invoke(app, ["--network", "nope"]).exit_code == 2


def test_biases_are_halved_and_all_else_is_kept(tmp_path):
    torch.manual_seed(0)
    model = TASK.build()
    books = ft.share(model, 16)
    state = dc.write(model, books, tmp_path / "model.safetensors")
    for name, parameter in model.named_parameters():
        assert torch.equal(state[name], parameter.detach().half().float()), name
