"""The benchmark's arithmetic against cases worked by hand, its records, and its page in a browser."""

import dataclasses
import io
import json
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

pytest.importorskip("scipy", reason="the benchmark needs scipy")
pytest.importorskip("matplotlib", reason="the benchmark needs matplotlib")

from rich.console import Console
from typer.testing import CliRunner

from bench import __main__ as command
from bench import (
    autoencoder_ablation,
    autoencoder_rates,
    bound,
    coding_costs,
    curves,
    environment,
    fetch,
    fidelity,
    gaussian_bound,
    generative_costs,
    gpam,
    prepare,
    records,
    redundancy,
    regression_costs,
    run,
    runner,
    sources,
    sweep,
    transforms,
)
from bench.curves import Point
from bench.folders import ROOT
from bench.method import Method, methods
from bench.network import Network, Score, networks
from bench.page import replaced, table
from bench.records import Record, Skip
from bench.report import markdown, page, plots, tables
from bench.report.results import MethodFacts, NetworkFacts, Results, measurable, metric_curve, smallest_as_good, spread
from neuralcodec.codecs.regression import Regression

# Fidelity


def test_fidelity_by_hand():
    original = {"w": torch.full((16, 16), 3.0), "b": torch.tensor([1.0, -2.0]), "n": torch.tensor(7)}
    decoded = {"w": torch.full((16, 16), 3.3), "b": torch.tensor([1.0, -1.0]), "n": torch.tensor(7)}
    found = fidelity.compare(original, decoded)
    assert found.snr_db == pytest.approx(20, abs=1e-5)  # (3 / 0.3)^2 = 100
    assert found.relative_error == pytest.approx(0.1, abs=1e-6)
    assert found.max_error == 1  # of the bias, which the SNR leaves out
    assert fidelity.compare(original, original).snr_db == math.inf
    assert fidelity.weights(original) == 258
    assert fidelity.original_bytes(original) == 4 * 258 + 8


# The Gaussian bound


def test_one_tensor_costs_a_bit_for_6_db():
    state = {"w": torch.randn(64, 64, generator=torch.Generator().manual_seed(0))}
    assert bound.gaussian_bound(state, [0.0, 20 * math.log10(2), 40 * math.log10(2)]) == pytest.approx([0, 1, 2])


def test_a_weak_tensor_is_not_sent():
    # Powers 1 and 1/16, equal sizes; water level 1/16 gives an error of 1/16 in both: 2 bits for the strong one alone.
    state = {"strong": torch.ones(16, 16), "weak": torch.full((16, 16), 0.25)}
    snr = 10 * math.log10((1 + 1 / 16) / (2 / 16))
    assert bound.gaussian_bound(state, [snr]) == pytest.approx([1.0])


# Curves


def curve(scale, quality=lambda rate: 6.02 * rate, rates=(1, 1.7, 2, 3.1, 4, 5)):
    return [Point(rate * scale, quality(rate)) for rate in rates]


def test_rate_difference_of_a_curve_that_needs_a_tenth_more():
    assert curves.rate_difference(curve(1), curve(1.1)) == pytest.approx(0.1, abs=1e-12)
    assert curves.rate_difference(curve(1.1), curve(1)) == pytest.approx(1 / 1.1 - 1, abs=1e-12)
    assert curves.rate_difference(curve(1), curve(1)) == 0


def test_rate_difference_against_an_integral_in_closed_form():
    # Rates e^q and e^(q/2) at qualities 0 to 2: the mean of q/2 - q is -1/2. Their logarithms are straight lines.
    anchor = [Point(math.exp(q), q) for q in (0, 0.5, 1.2, 2)]
    other = [Point(math.exp(q / 2), q) for q in (0, 1, 1.5, 2)]
    assert curves.rate_difference(anchor, other) == pytest.approx(math.exp(-0.5) - 1, abs=1e-12)


def test_rate_difference_above_a_least_quality():
    anchor = [Point(r, q) for r, q in ((1, 1), (2, 2), (4, 3), (8, 4))]
    other = [Point(p.rate * (1.8 if p.quality < 2 else 1), p.quality) for p in anchor]  # more where the quality is low
    whole = curves.rate_difference(anchor, other)
    assert whole is not None
    assert whole > 0.05
    assert curves.rate_difference(anchor, other, least=3) == pytest.approx(0)
    assert curves.rate_difference(anchor, other, least=4) is None


def test_rate_difference_takes_the_common_range_only():
    anchor = [Point(math.exp(q), q) for q in (0, 1, 2, 3)]
    other = [Point(2 * math.exp(q), q) for q in (2, 3, 4)]
    assert curves.rate_difference(anchor, other) == pytest.approx(1)
    assert curves.rate_difference(anchor, [Point(1, 5), Point(2, 6)]) is None
    assert curves.rate_difference(anchor, [Point(1, 1)]) is None


def test_hulls():
    points = [Point(1, 1), Point(2, 5), Point(3, 5.5), Point(3, 5), Point(4, 8), Point(5, 7)]
    assert curves.rising(points) == [Point(1, 1), Point(2, 5), Point(3, 5.5), Point(4, 8)]
    assert curves.hull(points) == [Point(1, 1), Point(2, 5), Point(4, 8)]
    straight = [Point(1, 1), Point(2, 2), Point(3, 3)]
    assert curves.hull(straight) == straight
    assert curves.hull([]) == curves.rising([]) == []
    # A chord over more than twice the rate counts for nothing: the curve is not there.
    bent = [Point(1, 1), Point(2, 3), Point(4.5, 13)]
    assert curves.hull(bent) == bent
    assert curves.hull([*bent, Point(1.5, 1.2)]) == bent


# Records


NETWORK = Network("net", "Net", "accuracy", "%", True, 90, 1, "made up", dict, lambda _: Score(90, 1, 100))


def test_a_key_depends_on_all_that_matters():
    state = {"w": torch.tensor([1.0, 2.0])}
    known = {
        records.key("coded", NETWORK, records.content_hash(state), None, {"bits": 4}),
        records.key("coded", NETWORK, records.content_hash(state), None, {"bits": 5}),
        records.key("timing", NETWORK, records.content_hash(state), None, {"bits": 4}),
        records.key("coded", NETWORK, records.content_hash({"w": torch.tensor([1.0, 3.0])}), None, {"bits": 4}),
        records.key("coded", NETWORK, records.content_hash({"v": state["w"]}), None, {"bits": 4}),
        records.key("coded", NETWORK, records.content_hash({"w": state["w"].reshape(2, 1)}), None, {"bits": 4}),
    }
    assert len(known) == 6


def test_a_key_depends_on_what_a_method_does_and_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    folder = tmp_path / "bench" / "methods"
    folder.mkdir(parents=True)
    texts = {
        "one": "QUICK = (1, 2)\n\ndef encode():\n    'Says something.'\n    return 1\n",
        "two": "def encode():\n    from bench.methods import one\n    return one.encode()\n",
        "three": "def encode():\n    import neuralcodec\n    return neuralcodec\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)

    def keys():
        made = [Method(name, folder / f"{name}.py", "", "lossy", (), (), (), "", False, False) for name in texts]
        return [records.key("coded", NETWORK, "", method, {}) for method in made]

    monkeypatch.setattr(sources, "encoder_hash", lambda codecs: "1")
    before = keys()
    assert len(set(before)) == 3
    (folder / "one.py").write_text(texts["one"].replace("(1, 2)", "(1, 2, 3)  # more").replace("something", "more"))
    assert keys() == before
    (folder / "one.py").write_text(texts["one"].replace("return 1", "return 2"))
    assert [a == b for a, b in zip(before, keys(), strict=True)] == [False, False, True]
    (folder / "one.py").write_text(texts["one"])
    monkeypatch.setattr(sources, "encoder_hash", lambda codecs: "2")
    assert [a == b for a, b in zip(before, keys(), strict=True)] == [True, True, False]


def test_records_are_kept_and_a_broken_one_is_measured_again(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURALCODEC_BENCH", str(tmp_path))
    record = Record("coded", "net", "m", {"bits": 4}, {"bytes": 5}, "", {"version": "1"})
    assert records.read("k") is None
    records.write("k", record)
    assert records.read("k") == record
    (tmp_path / "records" / "k.json").write_text('{"kind": "coded"')
    assert records.read("k") is None


# The report


def coded(method, bits, score, snr, network="net"):
    nbytes = round(1000 * bits / 8)
    values = {
        "bytes": nbytes,
        "bits_per_weight": bits,
        "ratio": 4000 / nbytes,
        "relative_size": nbytes / 40,
        "snr_db": snr,
        "relative_error": 0.1,
        "max_error": 0.2,
        "score": score,
        "stderr": 1.0,
        "peak_bytes": 10**6,
    }
    return Record("coded", network, method, {"bits": bits}, values, "", {"version": "1"})


def results():
    base = {"weights": 1000, "bytes": 4000, "bound": [[6.02, 1.0], [12.04, 2.0]], "score": 90.0, "stderr": 1.0}
    base["further"] = {"errors": 7.5}
    timing = {"encode_s": [0.2, 0.1, 0.4], "decode_s": [0.01, 0.02], "weights": 10**6, "bits_per_weight": 4.0}
    return Results(
        [NetworkFacts("net", "Net <on> data", "accuracy", "%", True, "From nowhere & back.")],
        [
            MethodFacts("huffman", "Huffman", "lossy", "as documented", False),
            MethodFacts("nncodec", "NNCodec", "lossy", "as documented", True),
            MethodFacts("zstd", "zstd", "lossless", "level 19", False),
        ],
        [
            Record("baseline", "net", "", {}, base, "", {"version": ""}),
            *(coded("huffman", b, s, 6 * b) for b, s in ((1, 50), (2, 89.5), (3, 80), (4, 90.5), (6, 89.2))),
            *(coded("nncodec", b, s, 6.5 * b) for b, s in ((1, 55), (2, 88), (4, 89.9), (6, 90))),
            coded("zstd", 28, 90, None),
            Record("timing", "net", "huffman", {"bits": 4}, timing, "", {"version": "1"}),
            Record("coded", "net", "nncodec", {"qp": 1}, {}, "it fell over", {"version": ""}),
        ],
        [Skip("other", "", "its data are not here")],
    )


def test_no_lucky_shot_counts_as_no_loss():
    found = smallest_as_good(results(), results().networks[0], results().methods[0])
    assert found is not None
    assert found.setting == {"bits": 4}  # 2 bits score well, but 3 bits do not


def test_what_another_axis_does_better_does_not_count():
    made = results()
    worse = coded("nncodec", 5, 80, 20.0)  # nobody would take this instead of 4 bits, which score 89.9
    made = dataclasses.replace(made, records=[*made.records, worse])
    found = smallest_as_good(made, made.networks[0], made.methods[1])
    assert found is not None
    assert found.setting == {"bits": 4}
    one_axis = dataclasses.replace(made.methods[1], hull=False)
    found = smallest_as_good(made, made.networks[0], one_axis)
    assert found is not None
    assert found.setting == {"bits": 6}


def test_tables_hold_what_was_measured():
    made = {table.title: table for table in tables.all_tables(results())}
    assert made["Smallest file without measurable loss"].rows == [
        ["Net <on> data", "90.00 ± 1.00 %", "**8.0× (4.00)**", "**8.0× (4.00)**"]
    ]
    (row,) = made["Average rate difference to NNCodec, at equal SNR / at equal metric"].rows
    assert row[1].startswith("+8.3 %")  # 6.5 / 6 of the rate at each SNR
    (row,) = made["Speed and memory on the host, one thread"].rows
    assert row[3:] == ["0.200", "5.0 (2.5 – 10.0)", "0.015", "66.7 (50.0 – 100.0)", "1"]
    assert made["Not measured"].rows == [
        ["other", "all", "its data are not here"],
        ["net", "nncodec qp=1", "it fell over"],
    ]
    assert len(made["Net <on> data"].rows) == 11
    assert made["Net <on> data"].headings[-2:] == ["accuracy, %", "errors"]
    assert made["Net <on> data"].rows[0] == [
        *("original, float32", "", "4,000", "32.000", "1.00×", "100.0", "exact", "0", "0", "90.00 ± 1.00", "7.5")
    ]
    assert made["Net <on> data"].rows[1][-2:] == ["50.00 ± 1.00", ""]


def test_what_the_norm_buys_is_told_at_equal_size():
    made = results()
    names = ("trellis", "trellis_least")
    facts = [MethodFacts(name, name.title(), "lossy", "as documented", False) for name in names]
    scored = {"trellis": ((1, 70, 5.8), (2, 90, 12)), "trellis_least": ((1, 60, 6.0), (3, 91, 18))}
    more = [
        dataclasses.replace(coded(name, bits, score, snr), setting={"bits_per_weight": bits})
        for name in names
        for bits, score, snr in scored[name]
    ]
    table = tables.reconstruction(dataclasses.replace(made, methods=facts, records=[*made.records, *more]))
    assert table.headings == ["network", "method", "1 bits"]
    assert table.rows == [["Net <on> data", "Trellis", "60.00 → 70.00 (0.20 dB)"]]
    assert not tables.reconstruction(made).rows


def test_files_for_the_least_error_stand_where_snr_is_compared():
    made = results()
    facts = [
        *made.methods,
        MethodFacts("trellis", "Trellis", "lossy", "as documented", False),
        MethodFacts("trellis_least", "Trellis, least error", "lossy", "as documented", False, least_error=True),
        MethodFacts("trellis_rans", "Trellis, rans", "lossy", "as documented", False, least_error=True),
    ]
    more = [
        *(coded("trellis", b, s, 6 * b) for b, s in ((1, 60), (2, 89), (4, 90))),
        *(coded("trellis_least", b, s, 6.5 * b) for b, s in ((1, 40), (2, 80), (4, 88), (6, 89))),
        *(coded("trellis_rans", b, s, 6.5 * b) for b, s in ((1, 40), (2, 80), (4, 88), (6, 89))),
    ]
    made = dataclasses.replace(made, methods=facts, records=[*made.records, *more])
    table = tables.rate_differences(made)
    assert list(table.headings) == ["network", "Huffman", "Trellis", "Trellis, rans"]
    assert [cell.split(" / ")[0] for cell in table.rows[0][2:]] == ["+0.0 %", "+0.0 %"]  # 6.5 dB a bit, as the anchor
    assert table.rows[0][3].endswith("/ –")
    assert not table.rows[0][2].endswith("/ –")
    assert list(tables.no_loss(made).headings) == ["network", "original", "Huffman", "NNCodec", "Trellis"]
    assert list(tables.beside_anchor(made).headings) == ["network", "Trellis", "Trellis, rans"]
    assert tables.beside_anchor(made).rows[0][1].startswith("1.000")
    nothing = dataclasses.replace(made, records=[r for r in made.records if r.method != "trellis_rans"])
    assert tables.rate_differences(nothing).rows[0][3] == ""
    (drawn,) = plots.figures(made).values()
    snr, metric = drawn.axes
    assert [line.get_label() for line in snr.get_lines()][:4] == ["Huffman", "NNCodec", "Trellis", "Trellis, rans"]
    assert len(metric.get_lines()) == 4  # the original's, and no curve of what is not for accuracy


def test_stand_ins_are_told_only_where_they_were_measured():
    made = results()
    facts = [*made.methods, MethodFacts("trellis", "Trellis", "lossy", "as documented", False)]
    normed, least = ([coded(name, b, 80, 6 * b) for b in (1, 2, 4)] for name in ("trellis", "trellis_least"))
    told = "is of their files for the least squared error"

    def notes(*more, **changes):
        changed = dataclasses.replace(made, methods=facts, records=[*made.records, *more], **changes)
        return tables.rate_differences(changed).note, tables.beside_anchor(changed).note

    assert not any(told in note for note in notes(*normed))
    assert all(note.endswith(f" SNR of trellis {told}.") for note in notes(*normed, *least))
    elsewhere = [dataclasses.replace(record, network="other") for record in normed]
    other = dataclasses.replace(made.networks[0], name="other")
    for note in notes(*normed, *least, *elsewhere, networks=[*made.networks, other]):
        assert note.endswith(f"{told}, where these were measured.")


def test_nothing_is_the_smallest_of_those_that_were_not_measured():
    made = results()
    ours = MethodFacts("huffman_lossless", "Huffman, lossless", "lossless", "as documented", False)
    absent = MethodFacts("zipnn", "ZipNN", "lossless", "as it comes", False)
    other = dataclasses.replace(made.networks[0], name="other", title="Other")
    more = [coded("huffman_lossless", 27, 90, None), dataclasses.replace(made.records[-3], network="other")]
    assert more[1].method == "zstd"
    made = dataclasses.replace(
        made, networks=[*made.networks, other], methods=[*made.methods, ours, absent], records=[*made.records, *more]
    )
    table = tables.lossless(made)
    assert list(table.headings) == ["network", "zstd", "Huffman, lossless"]
    assert table.rows == [["Net <on> data", "1.1429×", "**1.1852×**"], ["Other", "1.1429×", ""]]


def test_sweeps_of_ours_end_alike():
    # The smallest file without loss depends on larger ones: a sweep that ends before another fails has it easier.
    full = {m.name: m.full for m in methods().values() if m.kind == "lossy" and m.codecs and not m.least_error}
    ends = {name: max(s.get("bits_per_weight", 0) for s in each) for name, each in full.items()}
    del ends["kmeans_fixed"]
    assert set(ends.values()) == {6}, ends


def test_the_readme_counts_the_networks():
    ours = [n for n in networks().values() if not n.name.startswith("mlperf")]  # those join in where their folder is
    readme, makefile = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "Makefile"))
    words = {5: "five", 6: "six", 7: "seven", 12: "twelve"}
    quick = words[sum(n.quick for n in ours)]
    assert f"It takes {quick} networks" in readme
    assert f"compare codecs on {quick} trained networks" in makefile
    assert f"all {words[len(networks())]} networks" in readme


def test_settings_of_two_axes_give_a_front():
    made = results()  # the original: 90 ± 1, so 89 is as far as the metric tells
    beaten, lucky = coded("nncodec", 2.5, 87, 16.0), coded("nncodec", 5, 99, 20.0)
    made = dataclasses.replace(made, records=[*made.records, beaten, lucky])
    network, method = made.networks[0], made.methods[1]
    assert [p.quality for p in metric_curve(made, network, method)] == [55, 88, 89.9, 90]


def test_what_lies_above_the_noise_is_no_quality():
    made = results()
    curve = measurable(made, made.networks[0], [Point(1, 50), Point(2, 89.2), Point(3, 92), Point(4, 88)])
    assert curve == [Point(1, 50), Point(2, 89), Point(3, 89), Point(4, 88)]  # the original: 90 ± 1
    assert curves.rising(curve) == [Point(1, 50), Point(2, 89)]


def test_spread():
    assert spread([3, 1, 2]) == (2, 1, 3)
    assert spread([4, 1]) == (2.5, 1, 4)
    assert all(map(math.isnan, spread([])))


def test_tables_of_scripts_go_between_their_marks():
    text = table(("a", "b"), [("x", "1")])
    assert text == "| a | b |\n| --- | --: |\n| x | 1 |\n"
    before = "# Page\n<!-- one: who writes -->\nold\n<!-- /one -->\n<!-- two: who -->\n<!-- /two -->\nend\n"
    after = replaced(before, "one", text)
    assert after == before.replace("old\n", f"\n{text}\n")
    assert replaced(after, "one", text) == after
    for broken in ("one", "# Page\n<!-- /one -->\n<!-- one: x -->\n"):
        with pytest.raises(ValueError, match="one: one opening"):
            replaced(broken, "one", text)


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        (coding_costs.PAGE, coding_costs.MARK),
        (gpam.PAGE, "gpam"),
        *((redundancy.PAGE, mark) for mark in ("layers", "selections")),
        *((regression_costs.PAGE, mark) for mark in ("costs", "workspaces")),
        (gaussian_bound.PAGE, gaussian_bound.MARK),
        *(("trellis.md", mark) for mark in ("allocation", "default", "codings", "speed")),
        ("regression.md", "speed"),
        *(("models.md", mark) for mark in ("parts", "rates")),
        *(("generative.md", mark) for mark in ("costs", "speed", "ablation", "tuning")),
    ],
)
def test_pages_have_the_marks(name, mark):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert "\nnew table\n" in replaced(text, mark, "new table")


def test_bits_above_the_bound_between_two_points():
    found = {("contexts", 1): [(1.0, 0.1), (1.5, 0.2), (2.5, 0.4)]}
    assert gaussian_bound.at(found["contexts", 1], 1.25) == pytest.approx(0.15)
    (row,) = gaussian_bound.gaps(found, 0.0).rows
    assert row == ["contexts", "1 (scalar)", "0.100", "0.200", "0.300", "–", "–", "–"]


def test_costs_of_codings_are_a_range():
    assert coding_costs.between([14.04, 13.7, 14.0], ".1f") == "13.7 to 14.0"
    assert coding_costs.between([2072, 2072], ",.0f") == "2,072"
    assert coding_costs.between([], ".1f") == "–"


def test_tables_name_what_infers():
    weights = regression_costs.gaussian(16, 2, 0)
    rows = regression_costs.opened(regression_costs.encoded(weights, regression_costs.SUMS))
    assert regression_costs.title(rows) == "rows, sums of 2 of 2"
    basis = Regression(regressor="basis", residual=False)
    blocks = regression_costs.opened(regression_costs.encoded(weights, basis))
    assert regression_costs.title(blocks) == "basis, 8 weights from 3 vectors"
    printed = {"tiles": "4", "regression.basis.per_weight_x100": "2530", "prepare.per_tensor_x100": "1"}
    assert regression_costs.a_weight(printed) == 25.3


def test_times_smaller_counts_the_snr():
    found = redundancy.Finding(
        "planted", "repeated", (8, 8), 0.1, 1.0, 7, 4.0, trellis=5.0, regression=1.0, chosen="regression: rows",
        snr_trellis=30.0, snr_regression=36.02, left={},
    )  # fmt: skip
    assert redundancy.saved_at_equal_snr(found) == pytest.approx(5)
    assert redundancy.times_smaller(found) == pytest.approx(6)
    assert redundancy.said_of_layers([found], 3).startswith(
        "Times that the planted ones are smaller than by codec trellis at equal SNR: 6.0 (repeated). 3 more tensors"
    )


def test_bits_at_an_snr_by_hand():
    points = [transforms.Point(4.0, 22.0), transforms.Point(3.0, 16.0)]
    assert transforms.bits_at(points, 19.0) == pytest.approx(3.5)
    assert transforms.bits_at(points, 22.0 + 6.0206) == pytest.approx(5)
    assert transforms.bits_at(points, 16.0 - 6.0206) == pytest.approx(2)


def test_static_entropy_by_hand():
    # Levels 0 and 1, as often: one bit each; at an SNR of 40 dB no coarser step leaves so little error.
    state = {"w": torch.tensor([0.0, 1.0]).repeat(200).reshape(20, 20), "b": torch.ones(3)}
    assert autoencoder_rates.static_bits(state, 40.0) == pytest.approx(400)


def small_state():
    """Weights that codecs have room for."""
    return {"w": torch.randn(64, 64, generator=torch.Generator().manual_seed(0)), "b": torch.ones(3)}


def test_ablation_of_codec_autoencoder_compares_at_equal_snr():
    state = small_state()
    whole = [
        autoencoder_ablation.point(state, cm)
        for cm in autoencoder_ablation.encoded(state, (2.0, 3.0), autoencoder_ablation.WHOLE)
        if cm is not None
    ]
    assert [each.bits for each in whole] == pytest.approx([2, 3], abs=0.1)
    again = autoencoder_ablation.encoded(state, (2.0, 3.0), autoencoder_ablation.WHOLE)
    assert autoencoder_ablation.growth(state, whole, again, 0) == pytest.approx([0, 0], abs=1e-9)
    weights = 64 * 64 + 3
    fewer = [-100 * 8 / weights / each.bits for each in whole]
    assert autoencoder_ablation.growth(state, whole, again, 100) == pytest.approx(fewer)
    assert math.isnan(autoencoder_ablation.growth(state, whole, [None], 0)[0])
    assert autoencoder_ablation.taps(again[0]) == 0  # nothing tells of these weights


def test_table_of_the_ablation_by_hand():
    variants = [autoencoder_ablation.Variant("taps"), autoencoder_ablation.Variant("classes", own=784)]
    whole = autoencoder_ablation.Line([0.0] * 3, [0.0] * 3, 240.0, 2.0)
    taps = autoencoder_ablation.Line([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], 220.0, 0.0)
    classes = autoencoder_ablation.Line([math.nan, 0.0, 0.02], [math.nan, 0.1, 0.2], 240.0, 2.0)
    text = autoencoder_ablation.table(variants, [[whole, taps, classes]])
    assert "| nothing | – | – | – | – | – | 240 |\n" in text
    assert "| taps | +10.0 % | +20.0 % | +30.0 % | +20.0 % | +20.0 to +20.0 % | 220 |\n" in text
    assert (
        "| the same, its 784 bytes in every file | – | +10.0 % | +20.0 % | +15.0 % | +15.0 to +15.0 % | 240 |" in text
    )
    assert "each 10. " in text  # instructions a tap


def test_columns_of_the_tiles_of_codec_generative():
    cm = generative_costs.encoded(small_state(), 3.0)
    assert generative_costs.shapes(cm) == [(2, 64)]


def test_markdown_goes_between_the_marks(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n")
    table = tables.Table("T", ["a", "b"], [["x|y", "1.5"], ["z", "**2×**"]], "A note.")
    assert markdown.put(markdown.markdown(table), readme)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| a | b |\n| --- | --: |\n| x\\|y | 1.5 |\n| z | **2×** |\n\nA note.\n" in text
    (tmp_path / "other.md").write_text("no marks")
    assert not markdown.put("text", tmp_path / "other.md")


def html():
    made = results()
    drawn = {name: plots.svg(figure) for name, figure in plots.figures(made).items()}
    return page.page(made, tables.all_tables(made), drawn, {"write this page": "python -m bench report"})


def test_page_is_self_contained():
    text = html()
    assert "<svg" in text
    assert "Net &lt;on&gt; data" in text
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:)""", text)
    assert "@import" not in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_page_shows_bold_parts_of_cells():
    table = tables.Table("T", ["a", "b"], [["**1 < 2**", "**0.9** (1 – 2)"]], "A note.")
    text = page.page(results(), [table], {}, {})
    assert "><b>1 &lt; 2</b></td>" in text
    assert "><b>0.9</b> (1 – 2)</td>" in text


PROBE = """<script>
window.addEventListener("load", () => {
  const box = (e) => { const r = e.getBoundingClientRect(); return [r.width, r.height]; };
  const report = {
    plots: [...document.querySelectorAll("figure > svg")].map(box),
    lines: document.querySelectorAll("figure > svg path").length,
    tables: document.querySelectorAll("table").length,
    loaded: performance.getEntriesByType("resource").map((e) => e.name),
    errors: window.failures,
  };
  document.body.dataset.report = JSON.stringify(report);
});
</script>"""
ERRORS = "<script>window.failures = []; window.onerror = (m) => { window.failures.push(String(m)); };</script>"


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's package chromium")
def test_page_in_a_browser(tmp_path):
    text = html().replace("<head>", "<head>" + ERRORS).replace("</body>", PROBE + "</body>")
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    command = [
        *(
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ),
        *(
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path}/profile",
        ),
        *("--proxy-server=127.0.0.1:9", "--virtual-time-budget=2000", "--dump-dom", f"file://{tmp_path}/page.html"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-report="([^"]+)"', done.stdout)
    assert found, done.stderr[-2000:]
    report = json.loads(found.group(1).replace("&quot;", '"'))
    assert report["errors"] == []
    assert report["loaded"] == []
    assert len(report["plots"]) == 1
    assert all(width > 300 and height > 150 for width, height in report["plots"])
    assert report["lines"] > 20
    assert report["tables"] >= 6
    assert "CONSOLE" not in done.stderr


def test_water_level_of_equal_tensors_is_the_error():
    assert bound._water_level(np.array([0.5, 0.5]), np.array([1.0, 1.0]), 0.25) == pytest.approx(0.25)


# Running


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A network of one tensor, two methods whose files are here, and a runner that halves the step each time."""
    monkeypatch.setenv("NEURALCODEC_BENCH", str(tmp_path / "cache"))
    calls = []

    def measure(method, setting, state):
        calls.append((method.name, setting["bits"]))
        if method.name == "slow":
            raise runner.TooLongError("slow took longer than 9 s")
        if method.name == "broken":
            raise runner.MeasureError("it fell over")
        step = 2.0 ** -setting["bits"]
        decoded = {name: torch.round(t / step) * step for name, t in state.items()}
        return runner.Outcome(100 * setting["bits"], decoded, 10, "made up 1")

    def times(choices, state, rounds, tell):
        calls.append([method.name for method, _ in choices])
        took = [runner.Seconds((0.5,) * rounds, (0.25,) * rounds) for _ in choices]
        fails = runner.MeasureError("it fell over")
        return [fails if m.name == "broken" else t for (m, _), t in zip(choices, took, strict=True)]

    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(runner, "times", times)
    monkeypatch.setattr(environment, "version", lambda method: "made up 1")
    methods = []
    for name in ("good", "broken"):
        (path := tmp_path / f"{name}.py").write_text("")
        methods.append(Method(name, path, name, "lossy", (), (), (), "", False, False))
    weights = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))

    def evaluate(state):
        calls.append("score")
        return Score(100 - float((state["w"] - weights).abs().max()), 0.5, 512)

    network = Network("net", "Net", "score", "%", True, 100, 0.1, "made up", lambda: {"w": weights}, evaluate)
    return network, methods, calls


def test_a_run_measures_once_and_tries_failures_again(made_up):
    network, (good, broken), calls = made_up
    loaded = run.load(network)
    base = run.baseline(loaded)
    assert base.values["score"] == 100
    assert base.values["weights"] == 512
    first = run.coded(loaded, good, {"bits": 4})
    assert first == run.coded(run.load(network), good, {"bits": 4})
    assert (first.values["bytes"], first.values["ratio"]) == (400, 2048 / 400)
    assert first.values["bits_per_weight"] == 8 * 400 / 512
    assert 25 < first.values["snr_db"] < 40
    assert 99.9 < first.values["score"] < 100
    assert first.made["version"] == "made up 1"
    for _ in range(2):
        assert run.coded(loaded, broken, {"bits": 4}).error == "it fell over"
    assert calls == ["score", ("good", 4), "score", ("broken", 4), ("broken", 4)]


def test_the_same_weights_are_scored_once(made_up):
    network, (good, _), calls = made_up
    loaded = run.load(network)
    found = [run.coded(loaded, dataclasses.replace(good, name=name), {"bits": 4}) for name in ("good", "other")]
    assert found[0].values["score"] == found[1].values["score"]
    assert calls == [("good", 4), "score", ("other", 4)]
    assert run.score(dataclasses.replace(network, version="2"), loaded.state)["score"] == 100
    assert calls.count("score") == 2


def test_lossless_must_be_exact(made_up):
    network, (good, _), _ = made_up
    loaded = run.load(network)
    method = dataclasses.replace(good, kind="lossless")
    assert run.coded(loaded, method, {"bits": 4}).error == "what was decoded is not what was encoded, bit for bit"
    assert run.coded(loaded, method, {"bits": 60}).error == ""


def test_a_baseline_that_is_off_stops_the_run(made_up):
    network, _, _ = made_up
    worse = dataclasses.replace(network, expected=90)
    with pytest.raises(run.BaselineError, match=r"net: the original weights score 100.00 %, expected 90.00 ± 0.10"):
        run.baseline(run.load(worse))


def test_timings_are_taken_together(made_up):
    network, (good, broken), calls = made_up
    other = dataclasses.replace(good, name="other")
    loaded = run.load(network)
    chosen = [(m, run.coded(loaded, m, {"bits": 3})) for m in (good, other)]
    calls.clear()
    timed = run.timings(loaded, chosen, 3, print)
    assert [r.values["encode_s"] for r in timed] == [[0.5] * 3] * 2
    assert run.timings(loaded, chosen, 3, print) == timed
    assert calls == [["good", "other"]]
    run.timings(loaded, chosen, 3, print, again=True)
    run.timings(loaded, chosen[:1], 3, print)  # not in turns with the other: not the same
    assert calls == [["good", "other"], ["good", "other"], ["good"]]
    chosen.append((broken, dataclasses.replace(chosen[0][1], method="broken")))
    for _ in range(2):  # not all are there: all are taken again
        assert run.timings(loaded, chosen, 3, print)[2].error == "it fell over"
    assert calls[3:] == [["good", "other", "broken"]] * 2


def test_records_say_where_they_were_measured(made_up):
    network, (good, *_), _ = made_up
    loaded = run.load(network)
    elsewhere = run.coded(loaded, good, {"bits": 3})
    elsewhere = dataclasses.replace(elsewhere, made={**elsewhere.made, "machine": "another"})
    (timing,) = run.timings(loaded, [(good, elsewhere)], 3, print)
    assert timing.made == {**elsewhere.made, "machine": run.machine()}
    found = dataclasses.replace(results(), records=[elsewhere, timing, elsewhere])
    assert command._elsewhere(found) == {"records of another": "2 coded"}
    assert command._elsewhere(results()) == {}


def test_a_lossy_method_is_timed_near_four_bits():
    made = [coded("huffman", bits, 90, 6 * bits) for bits in (1, 2.5, 3.9, 5)]
    method = Method("huffman", None, "", "lossy", (), (), (), "", False, False)
    chosen = run.to_time(method, made)
    assert chosen is not None
    assert chosen.values["bits_per_weight"] == 3.9
    assert run.to_time(dataclasses.replace(method, name="none"), made) is None


def test_a_whole_run(made_up, monkeypatch):
    network, (good, broken), calls = made_up
    other = dataclasses.replace(network, name="other", missing=lambda: "its data are not here")
    monkeypatch.setattr(sweep.firmware, "missing", lambda: "no emulator")
    lacking = sweep.prepare.Lacking({"other": "its data are not here"}, {"absent": "no such package"})
    monkeypatch.setattr(sweep.prepare, "prepare", lambda *_: lacking)
    methods = [dataclasses.replace(m, quick=({"bits": 2}, {"bits": 4})) for m in (good, broken)]
    methods.append(dataclasses.replace(good, name="absent"))
    told = []
    options = sweep.Options(full=False, kept=False, rounds=2, retime=False, jobs=2)
    made = sweep.measure([network, other], methods, options, lambda *each: told.append(each))
    assert [s.network or s.method for s in made.skips] == ["absent", "other", "emulated microcontrollers"]
    assert [r.values["bytes"] for r in made.coded("net", "good")] == [200, 400]
    assert [r.error for r in made.failures()] == ["it fell over"] * 2
    assert made.baseline("net").values["score"] == 100
    assert made.of_kind("timing", "net", "good").values["encode_s"] == [0.5, 0.5]
    assert [each[0] for each in told] == ["measuring"] * 4 + ["timing"]
    assert told[3][2:] == (4, 4)
    assert calls.count(("broken", 2)) == 1


def test_streams_too_large_for_a_microcontroller_are_a_named_skip(made_up, monkeypatch):
    network, (good, _), _ = made_up
    emulated = []
    monkeypatch.setattr(sweep.firmware, "missing", lambda: None)
    monkeypatch.setattr(sweep.firmware, "FLASH_BYTES", 300)
    monkeypatch.setattr(sweep.run, "on_firmware", lambda _, method, setting, **__: emulated.append((method, setting)))
    monkeypatch.setattr(sweep.prepare, "prepare", lambda *_: prepare.Lacking({}, {}))
    options = sweep.Options(full=False, kept=False, rounds=0, retime=False, jobs=1)
    for bits, skipped in ((2, 0), (4, 1)):  # 200 bytes, and 400
        of_decoder = dataclasses.replace(good, quick=({"bits": bits},), for_decoder=True)
        made = sweep.measure([network], [of_decoder], options, lambda *_: None)
        reasons = [s.reason for s in made.skips if s.network == "net"]
        assert len(reasons) == skipped
        assert all("1 streams are of more than 300 bytes" in reason for reason in reasons)
    assert [setting for _, setting in emulated] == [{"bits": 2}]


def test_a_run_that_measures_nothing_takes_what_is_there(made_up, monkeypatch):
    network, (good, _), calls = made_up
    monkeypatch.setattr(sweep.firmware, "missing", lambda: "no emulator")
    monkeypatch.setattr(sweep.prepare, "prepare", lambda *_: prepare.Lacking({}, {}))
    some = dataclasses.replace(good, quick=({"bits": 2}, {"bits": 4}))
    more = dataclasses.replace(good, quick=({"bits": 2}, {"bits": 3}, {"bits": 4}, {"bits": 5}))
    options = sweep.Options(full=False, kept=False, rounds=2, retime=False, jobs=1)
    whole = sweep.measure([network], [some], options, lambda *_: None)
    before = len(calls)
    kept = sweep.measure([network], [more], dataclasses.replace(options, kept=True), lambda *_: None)
    assert len(calls) == before
    assert kept.records == whole.records
    assert [(s.network, s.method, s.reason) for s in kept.skips if s.network] == [
        ("net", "good", "2 of 4 settings have no record: not measured, or they cannot be met")
    ]


def test_only_the_largest_networks_are_looked_at_closely(made_up, monkeypatch):
    network, (good, _), _ = made_up
    monkeypatch.setattr(sweep.firmware, "missing", lambda: "no emulator")
    monkeypatch.setattr(sweep.prepare, "prepare", lambda *_: prepare.Lacking({}, {}))
    sizes = {"a": 30, "b": 90, "c": 60}
    many = [
        dataclasses.replace(
            network, name=name, load=lambda n=n: {"w": torch.arange(10.0 * n).reshape(n, 10)}, evaluate=None
        )
        for name, n in sizes.items()
    ]
    method = dataclasses.replace(good, quick=({"bits": 2},), full=({"bits": 2},))
    for full, timed in ((False, {"b", "c"}), (True, set(sizes))):
        options = sweep.Options(full=full, kept=False, rounds=1, retime=False, jobs=1)
        made = sweep.measure(many, [method], options, lambda *_: None)
        assert {r.network for r in made.records if r.kind == "timing"} == timed
        assert {r.network for r in made.records if r.kind == "coded"} == set(sizes)


def test_slow_networks_take_the_quick_sweeps():
    method = Method("m", None, "", "lossy", (), ({"bits": 2},), ({"bits": 2}, {"bits": 3}), "", False, False)
    assert len(sweep.settings(NETWORK, method, True)) == 2
    assert len(sweep.settings(dataclasses.replace(NETWORK, slow=True), method, True)) == 1
    assert len(sweep.settings(NETWORK, method, False)) == 1


def test_what_cannot_be_had_is_named(made_up, monkeypatch):
    network, (good, _), _ = made_up

    def unreachable():
        raise fetch.FetchError("no such registry")

    known = {
        "net": network,
        "far": dataclasses.replace(network, name="far", load=unreachable),
        "off": dataclasses.replace(network, name="off", expected=50),
    }
    monkeypatch.setattr(prepare, "networks", lambda: known)
    assert [prepare._load(name) for name in known] == [None, "no such registry", None]
    monkeypatch.setattr(environment, "missing", lambda method: "no such package")
    absent = dataclasses.replace(network, missing=lambda: "its data are not here")
    told = []
    found = prepare.prepare([absent], [good], 1, lambda text, done: told.append(done))
    assert found == prepare.Lacking({"net": "its data are not here"}, {"good": "no such package"})
    assert told[-1] == 1


def test_results_go_from_file_to_report(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURALCODEC_BENCH", str(tmp_path))
    runs = CliRunner()
    assert runs.invoke(command.app, ["report", "-o", str(tmp_path / "to")]).exit_code == 1
    command._save(results(), tmp_path / "results.json")
    assert runs.invoke(command.app, ["report", "-o", str(tmp_path / "to")]).exit_code == 0
    made = {path.name for path in (tmp_path / "to").iterdir()}
    assert made == {"index.html", "tables.md", "results.json", "rate-net.png", "rate-net.svg"}
    assert "| Net <on> data | 90.00 ± 1.00 % | **8.0× (4.00)** |" in (tmp_path / "to" / "tables.md").read_text()
    kept = json.loads((tmp_path / "results.json").read_text())
    assert len(kept["records"]) == len(results().records)
    (tmp_path / "results.json").write_text(json.dumps({**kept, "format": 1}))
    assert runs.invoke(command.app, ["report", "-o", str(tmp_path / "to")]).exit_code == 1


def test_a_report_tells_that_its_results_are_of_other_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURALCODEC_BENCH", str(tmp_path))
    told = io.StringIO()
    monkeypatch.setattr(command, "err", Console(file=told, width=200))
    command._save(results(), tmp_path / "results.json")
    assert CliRunner().invoke(command.app, ["report", "-o", str(tmp_path / "to")]).exit_code == 0
    assert "other sources" not in told.getvalue()
    monkeypatch.setattr(sources, "encoder_hash", lambda codecs: "of later ones")
    assert CliRunner().invoke(command.app, ["report", "-o", str(tmp_path / "to")]).exit_code == 0
    assert "other sources of neuralcodec" in told.getvalue()


def test_a_name_that_is_unknown():
    found = CliRunner().invoke(command.app, ["run", "--network", "alexnet"])
    assert found.exit_code == 2


def test_a_method_that_takes_too_long_is_given_up(made_up, monkeypatch):
    network, (good, _), calls = made_up
    monkeypatch.setattr(sweep.firmware, "missing", lambda: "no emulator")
    monkeypatch.setattr(sweep.prepare, "prepare", lambda *_: prepare.Lacking({}, {}))
    slow = dataclasses.replace(good, name="slow", quick=({"bits": 2}, {"bits": 4}, {"bits": 6}))
    options = sweep.Options(full=False, kept=False, rounds=0, retime=False, jobs=1)
    made = sweep.measure([network], [slow], options, lambda *_: None)
    assert [each for each in calls if each[0] == "slow"] == [("slow", 2)]
    assert [r.error for r in made.failures()] == [
        "slow took longer than 9 s",
        *["not tried: slow took longer than 9 s with another setting"] * 2,
    ]


def test_the_command_is_the_one_that_measures():
    assert command._command(("run",)) == "make bench"
    assert command._command(("run", "--full", "--kept", "--rounds", "3")) == "make bench-full (in parts)"
    assert command._command(("run", "--network", "lenet5")) == "python -m bench run --network lenet5"
