"""What `profile` says of weights whose nature is known, of awkward tensors, and how near its estimates come."""

import json
import re
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from command import neuralcodec as run_command
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from samples import Net, weights

import neuralcodec

pytest.importorskip("scipy")

from neuralcodec.profiling import levels, moments, redundancy, sample, scales, spectrum
from neuralcodec.profiling.fits import best, fit_all
from neuralcodec.profiling.sample import draw
from neuralcodec.source import open_source

N = 20_000
scale = st.floats(-20, 20).map(lambda e: 10.0**e)
seed = st.integers(0, 2**32 - 1)


def tensor(w):
    return open_source({"w": w}).read("w")


def by_family(x):
    return {fit.family: fit for fit in fit_all(x)}


@given(seed, scale)
@settings(max_examples=15)
def test_fits_find_a_gaussian_and_a_laplacian(seed, scale):
    rng = np.random.default_rng(seed)
    fits = by_family(3 * scale + scale * rng.standard_normal(N))
    assert fits["gaussian"].location == pytest.approx(3 * scale, rel=0.02)
    assert fits["gaussian"].scale == pytest.approx(scale, rel=0.03)
    assert fits["generalized gaussian"].shape == pytest.approx(2, rel=0.1)
    assert fits["student-t"].shape > 20
    assert fits["gaussian"].ks < 2 / N**0.5
    assert fits["gaussian"].bits == pytest.approx(0.5 * np.log2(2 * np.pi * np.e))
    assert best(tuple(fits.values()), N).bits <= fits["gaussian"].bits
    fits = by_family(scale * rng.laplace(size=N))
    assert fits["laplacian"].scale == pytest.approx(scale, rel=0.04)
    assert fits["generalized gaussian"].shape == pytest.approx(1, rel=0.06)
    assert fits["laplacian"].ks < 2 / N**0.5 < fits["gaussian"].ks


@given(seed, scale, st.floats(0.5, 4))
@settings(max_examples=15)
def test_fits_find_the_exponent_of_a_generalized_gaussian(seed, scale, beta):
    rng = np.random.default_rng(seed)
    x = scale * rng.gamma(1 / beta, size=N) ** (1 / beta) * rng.choice([-1, 1], N)
    fit = by_family(x)["generalized gaussian"]
    assert fit.shape == pytest.approx(beta, rel=0.12)
    assert fit.scale == pytest.approx(scale, rel=0.2 if beta < 1 else 0.06)
    assert fit.ks < 2 / N**0.5


@given(seed, scale, st.floats(1, 8))
@settings(max_examples=15)
def test_fits_find_the_degrees_of_freedom_of_a_t(seed, scale, freedom):
    x = scale * np.random.default_rng(seed).standard_t(freedom, N)
    fits = by_family(x)
    assert fits["student-t"].shape == pytest.approx(freedom, rel=0.25)
    assert fits["student-t"].scale == pytest.approx(scale, rel=0.05)
    assert abs(fits["student-t"].location) < 0.05 * scale
    assert fits["student-t"].ks < 2 / N**0.5
    assert best(tuple(fits.values()), N).family == "student-t"


def test_densities_integrate_to_one_and_agree_with_their_distribution():
    x = np.random.default_rng(0).laplace(size=5000)
    at = np.linspace(-60, 60, 600_001)
    for fit in fit_all(x):
        below = np.cumsum(fit.density(at)) * (at[1] - at[0])
        assert below[-1] == pytest.approx(1, abs=2e-3)
        assert np.abs(below - fit.distribution(at)).max() < 3e-3
        assert fit.log_likelihood == pytest.approx(float(np.log(fit.density(x)).mean()), abs=1e-6)


def test_entropy_by_hand():
    x = np.array([-1.0, 0.1, 0.0, 1.0, -0.1, 0.0, 0.9, 0.1])  # levels −1, 0, 0, 1, 0, 0, 1, 0
    rate = levels.rate(x, 1.0)
    shares = np.array([1, 5, 2]) / 8
    assert rate.bits == pytest.approx(-(shares * np.log2(shares)).sum())
    noise = 4 * 0.01 / 8
    assert rate.snr_db == pytest.approx(10 * np.log10(np.square(x).mean() / noise))
    assert rate.bound == pytest.approx(0.5 * np.log2(x.var() / noise))
    assert rate.gap == pytest.approx(rate.bits - rate.bound)
    exact = levels.rate(np.array([0.0, 1.0, 2.0, 3.0]), 1.0)
    assert (exact.bits, exact.snr_db, exact.bound, exact.gap) == (2.0, None, None, None)


def test_a_gaussian_lies_a_quarter_of_a_bit_above_its_bound():
    x = np.random.default_rng(0).standard_normal(1 << 18)
    for snr, bits in ((20, 3.3219), (30, 4.9829), (40, 6.6439)):
        rate = levels.at_snr(x, snr)
        assert rate.snr_db == pytest.approx(snr, abs=0.02)
        assert rate.bound == pytest.approx(bits, abs=0.01)
        assert rate.gap == pytest.approx(0.2546, abs=0.01)  # ½·log2(2πe/12), Gish and Pierce 1968
    assert all(rate.gap > 0 for rate in levels.ladder(x))


def test_a_laplacian_comes_out_below_the_gaussian_bound_plus_that_quarter():
    rate = levels.at_snr(np.random.default_rng(0).laplace(size=1 << 17), 30)
    assert rate.gap == pytest.approx(0.2546 - 0.5 * np.log2(2 * np.pi * np.e) + np.log2(2 * np.e / 2**0.5), abs=0.02)


def test_moments_are_of_all_weights():
    rng = np.random.default_rng(0)
    x = torch.from_numpy((rng.gamma(2, size=(300, 700)) + 5).astype(np.float32))
    x[0, :5] = 0
    found = moments.moments(tensor(x))
    y = x.double().numpy()
    assert found.mean == pytest.approx(y.mean())
    assert found.std == pytest.approx(y.std())
    assert found.kurtosis == pytest.approx((((y - y.mean()) / y.std()) ** 4).mean())
    assert (found.least, found.most, found.zeros) == (0, y.max(), 5)
    x[1, 0], x[1, 1], x[299, 0] = torch.inf, -torch.inf, torch.nan
    found = moments.moments(tensor(x))
    assert (found.infinite, found.nan, found.nonfinite, found.most) == (2, 1, 3, y.max())


def test_scales_are_in_octaves():
    w = np.ones((4, 512)) * np.array([[1.0], [2.0], [4.0], [0.0]])
    rows = scales.scales(w, 1)
    assert rows.zero == 1
    assert rows.octaves == pytest.approx(np.std([0, 1, 2]))
    assert rows.most - rows.least == pytest.approx(2)
    assert scales.scales(w, 0).octaves == pytest.approx(0)
    x = np.random.default_rng(0).standard_normal((2000, 50))
    assert scales.scales(x, 1).octaves == pytest.approx(scales.scales(x, 1).chance, rel=0.1)


@pytest.mark.parametrize("shape", [(200, 200), (100, 400), (400, 50)])
def test_spectrum_of_independent_weights_is_that_of_chance(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    found = spectrum.spectrum(x)
    values = np.linalg.svd(x, compute_uv=False)
    assert np.array(found.curve) == pytest.approx(
        values[: len(found.curve)] / np.sqrt((values**2).mean()), rel=1e-6
    ) or (len(values) > len(found.curve))
    assert found.effective_rank == pytest.approx(found.chance_rank, abs=0.02)
    assert found.top_tenth == pytest.approx(found.chance_top_tenth, abs=0.02)


def test_spectrum_finds_a_low_rank():
    rng = np.random.default_rng(0)
    assert spectrum.spectrum(rng.standard_normal((100, 5)) @ rng.standard_normal((5, 80))).effective_rank < 0.07
    assert spectrum.spectrum(np.eye(50)).effective_rank == pytest.approx(1)


def test_redundancy_between_rows():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((64, 4096))
    loud = w * np.where(np.arange(64) < 32, 1, 16)[:, None]  # classes of known variance: 4 octaves apart

    def of(x):
        t = tensor(torch.from_numpy(x.astype(np.float32)))
        return redundancy.redundancy(t, x, levels.at_snr(x, 30).step)

    plain, found = of(w), of(loud)
    assert (plain.class_bits, plain.duplicates) == (pytest.approx(0, abs=2e-3), 0)
    assert plain.prediction_bits == pytest.approx(0, abs=1e-3)
    assert plain.correlation == pytest.approx(plain.chance_correlation, rel=0.3)
    step = levels.at_snr(loud, 30).step
    whole = levels.rate(loud, step).bits
    halves = (levels.rate(loud[:32], step).bits + levels.rate(loud[32:], step).bits) / 2
    assert found.class_bits == pytest.approx(whole - halves, abs=0.01)
    assert found.class_bits > 0.2
    assert (plain.stored_share, plain.sum_bits) == (1, 0)
    low = of(rng.standard_normal((64, 4)) @ rng.standard_normal((4, 4096)))
    assert low.stored_share == 4 / 64
    assert low.sum_bits == pytest.approx(60 / 64 * 0.5 * np.log2(12 * 1000 / 12), abs=0.3)
    w[40:50] = w[3]
    w[60, :] = w[59, :] + 0.01 * w[58, :]
    found = of(w)
    assert found.duplicates == 10
    assert found.correlation > 0.1
    common = rng.standard_normal(4096)
    found = of(0.3 * w + common)  # correlation 1 / 1.09
    assert found.correlation == pytest.approx(1 / 1.09, abs=0.03)
    assert found.prediction_bits == pytest.approx(-0.5 * np.log2(1 - 1 / 1.09**2), abs=0.2)


@given(seed, st.integers(1, 400), st.integers(1, 400), st.integers(16, 4000))
def test_a_sample_is_of_the_tensor_and_always_the_same(seed, rows, cols, most):
    x = torch.arange(rows * cols, dtype=torch.float32).reshape(rows, cols)
    taken = sample.sample(tensor(x), most)
    assert taken.spec.size <= max(most, 64)
    found = taken.float32()
    assert np.array_equal(found, sample.sample(tensor(x), most).float32())
    row, col = np.divmod(found.astype(np.int64), cols)
    assert (row == row[:, :1]).all()
    assert (col == col[:1]).all()
    assert len(np.unique(found)) == found.size


SEEDED = torch.Generator().manual_seed(0)
randn, rand = partial(torch.randn, generator=SEEDED), partial(torch.rand, generator=SEEDED)

AWKWARD = {
    "empty": torch.empty(0, 5),
    "scalar": torch.tensor(3.0),
    "one": torch.tensor([[1.0]]),
    "two": torch.tensor([1.0, 2.0]),
    "zeros": torch.zeros(40, 40),
    "equal": torch.full((32, 32), 0.5),
    "nearly": torch.full((32, 32), 1000.0).index_put((torch.tensor(1), torch.tensor(1)), torch.tensor(1000.0625)),
    "nan": torch.full((20, 20), torch.nan),
    "mixed": torch.cat([randn(300), torch.tensor([torch.inf, torch.nan])]).reshape(2, 151),
    "ints": torch.arange(1000).reshape(10, 100),
    "bools": torch.tensor([True, False]),
    "complex": randn(10, 10, dtype=torch.complex64),
    "f8": randn(64, 64).to(torch.float8_e4m3fn),
    "bf16": randn(64, 64).bfloat16(),
    "large": torch.tensor([[3e38] * 20] * 19 + [[-3e38] * 20]),
    "small": randn(64, 64) * 1e-44,
    "beyond": randn(64, 64, dtype=torch.float64) * 1e300,
    "below": randn(64, 64, dtype=torch.float64) * 1e-60,
    "lone": torch.zeros(64, 64).index_put((torch.tensor(3), torch.tensor(3)), torch.tensor(1.0)),
    "sparse": randn(100, 100) * (rand(100, 100) < 0.05),
    "signs": torch.sign(randn(128, 128)),
    "column": randn(300, 1),
    "row": randn(1, 300),
    "five": randn(4, 3, 2, 2, 16),
    "zero rows": torch.cat([torch.zeros(30, 64), randn(34, 64)]),
    "[bold]x[/] <b>&\u202e\ud7ff": randn(16, 32),
}


@pytest.mark.parametrize("snr_db", [1, 30, 100])
def test_awkward_tensors_are_reported_without_a_warning(snr_db):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        profile = neuralcodec.profile(AWKWARD, snr_db=snr_db)
        json.dumps(profile.to_dict(), allow_nan=False)
        assert "equal" in str(profile)
    found = {t.name: t for t in profile.tensors}
    assert found["empty"].note == "empty"
    assert found["empty"].suggestion is None
    assert found["mixed"].note == "1 NaN, 1 Inf"
    assert found["beyond"].moments.infinite == 4096
    assert found["nan"].moments.nan == 400
    assert found["equal"].note == found["zeros"].note == "all equal"
    assert found["one"].note == "one weight"
    assert found["ints"].moments.mean == pytest.approx(499.5)
    assert found["f8"].moments.std == pytest.approx(1, rel=0.1)
    assert found["sparse"].moments.zeros > 9000
    assert found["sparse"].best_fit == "gaussian"  # of the weights that are not 0
    assert found["zero rows"].rows.zero == 30
    for name in ("empty", "one", "equal", "nan", "mixed", "ints", "bools", "complex", "signs", "lone"):
        assert not found[name].fits
    for name in ("sparse", "bf16", "row", "column"):
        assert len(found[name].fits) == 4
    for name, t in found.items():
        assert t.weights == AWKWARD[name].numel()
        assert name == "empty" or t.suggestion.trial.codec in neuralcodec.codec_names()


def really(model, name, trial):
    """Bits a weight and SNR that encode() gives at a suggested setting."""
    options = {} if trial.codec == "raw" else dict(trial.options)
    report = neuralcodec.encode({name: model[name]}, trial.codec, **options).report()
    return report.rows[0].encoded_bytes * 8 / report.weights, report.rows[0].snr_db


@pytest.mark.parametrize("snr_db", [15, 30, 38])
def test_suggestions_are_what_encode_gives(silero_path, snr_db):
    from safetensors.torch import load_file

    model = load_file(silero_path) | {"gaussian": weights(700, 600), "norm": torch.ones(600)}
    profile = neuralcodec.profile(model, snr_db=snr_db)
    assert profile.weights == sum(w.numel() for w in model.values())
    lossy = 0
    for found in profile.tensors:
        trial = found.suggestion.trial
        bits, snr = really(model, found.name, trial)
        assert trial.bits_per_weight == pytest.approx(bits, rel=0.02), found.name
        if trial.snr_db is not None:
            lossy += 1
            assert snr == pytest.approx(trial.snr_db, abs=0.3)
            assert trial.snr_db >= snr_db
    assert lossy >= 3


def test_suggestions_of_large_tensors_reach_what_they_say():
    """Of which a part is tried, whose weights may be louder than those of the whole."""
    generator = torch.Generator().manual_seed(0)
    outliers = 0.02 * torch.randn(700, 700, generator=generator)
    outliers[350, :5] = 3.0
    rows = torch.randn(512, 1024, generator=generator) * torch.exp(1.5 * torch.randn(512, 1, generator=generator))
    for w in (outliers, rows):
        trial = neuralcodec.profile({"w": w}).tensors[0].suggestion.trial
        reached = neuralcodec.encode({"w": w}, trial.codec, **trial.options).report().snr_db
        assert reached == pytest.approx(trial.snr_db, abs=0.5)


def test_a_sample_with_more_than_its_share_of_what_is_loud_promises_no_more_than_there_is():
    generator = torch.Generator().manual_seed(0)
    w = 0.01 * torch.randn(2048, 256, generator=generator)
    w[int(draw(2048, 1024)[0])] = 4.0
    suggestion = neuralcodec.profile({"w": w}).tensors[0].suggestion
    trials = [trial for trial in suggestion.tried if trial.options.get("scale") == "row"][:3]
    assert len(trials) == 3
    for trial in trials:
        reached = neuralcodec.encode({"w": w}, trial.codec, **trial.options).report().snr_db
        assert reached == pytest.approx(trial.snr_db, abs=0.5)


def test_codecs_are_compared_by_what_they_take(silero_path):
    from safetensors.torch import load_file

    name, w = max(load_file(silero_path).items(), key=lambda item: item[1].numel())
    (found,) = neuralcodec.profile({name: w}, snr_db=30).tensors
    stepped = {t.codec: t for t in found.suggestion.tried if "step" in t.options}
    assert stepped.keys() == {"huffman", "kmeans", "trellis"}
    good = [t for t in found.suggestion.tried if t.reaches(30)]
    assert found.suggestion.trial == min(good, key=lambda t: t.bits_per_weight)
    assert all(30 <= t.snr_db < 30.5 for t in stepped.values())
    for codec in stepped:
        assert codec in found.suggestion.why


def test_strips_are_rows_that_lie_together():
    whole = tensor(torch.arange(200.0 * 300).reshape(200, 300))
    assert sample.strip(whole, 200 * 300) is whole
    rows = sample.strip(whole, 9_600).float32()
    assert rows.shape == (64, 150)
    assert (np.diff(rows, axis=1) == 1).all()
    first = rows[:, 0] // 300
    assert (first[0], first[-1]) == (0, 199)
    assert np.count_nonzero(np.diff(first) == 1) == 60  # runs of 16
    assert sample.strip(whole, 40).spec.size <= 64


def test_a_large_gaussian_is_sampled_and_still_estimated_well():
    model = {"w": weights(2000, 1500, seed=3)}
    (found,) = neuralcodec.profile(model).tensors
    rows, cols = found.sampled
    assert rows * cols <= 1 << 18
    bits, snr = really(model, "w", found.suggestion.trial)
    assert found.suggestion.trial.bits_per_weight == pytest.approx(bits, rel=0.05)
    assert snr == pytest.approx(30, abs=0.5)
    assert 0.9 * found.targets[1].bits < bits < found.targets[1].bits  # below the entropy of rounded weights
    assert found.suggestion.trial.codec == "trellis"
    assert found.rows.octaves == pytest.approx(2 / 12**0.5, rel=0.1)  # uniform over two octaves
    assert found.targets[1].gap < 0.25


def test_names_patterns_and_ties():
    net = Net()
    profile = neuralcodec.profile(net)
    tied = {t.name: t.tied for t in profile.tensors}
    assert tied["embed.weight"] == ("head.weight",)
    chosen = neuralcodec.profile(net, tensors=["head.*", "conv.*"])
    assert [t.name for t in chosen.tensors] == ["conv.bias", "conv.weight", "embed.weight"]
    with pytest.raises(neuralcodec.PlanError, match="no tensor matches 'hed"):
        neuralcodec.profile(net, "hed.*")
    with pytest.raises(neuralcodec.PlanError, match="snr_db"):
        neuralcodec.profile(net, snr_db=0)
    seen = []
    neuralcodec.profile(net, "conv.*", progress=lambda *a: seen.append(a))
    assert seen[-1] == ("conv.weight", 448, 448)


def test_a_compressed_model_is_decoded(tmp_path):
    cm = neuralcodec.encode(Net(), "huffman", bits=4)
    neuralcodec.save(cm, tmp_path / "x.nc.safetensors")
    once, twice = neuralcodec.profile(cm), neuralcodec.profile(tmp_path / "x.nc.safetensors")
    assert once.to_dict() == twice.to_dict() == neuralcodec.profile(cm.state_dict()).to_dict()


def command(*arguments, code=0):
    done = run_command("profile", *arguments)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return done


def test_command(tmp_path):
    pytest.importorskip("matplotlib")
    path, page = tmp_path / "net.safetensors", tmp_path / "page.html"
    save_file({name: w.clone() for name, w in AWKWARD.items()}, path)
    done = command(path, "--html", page, "--top", "9")
    assert "step=" in done.stdout
    assert f"{len(AWKWARD)} tensors" in done.stdout
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") == html.count("</svg>") >= 4
    # Namespaces are names; nothing is loaded, and markup in a tensor's name is text.
    assert not re.search(r"""(src|href|url|@import)\s*[=(]\s*["']?\s*https?:""", html)
    assert "<script" not in html
    assert "&lt;b&gt;" in html
    assert "<b>&" not in html
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    command(path, "--html", page, "--top", "1", "--tensors", "s*")
    assert page.read_text(encoding="utf-8").count("<svg") == 1
    told = json.loads(command(path, "--json", "--tensors", "bf16", "--target-snr", "20").stdout)
    (found,) = told["tensors"]
    assert told["snr_db"] == 20
    assert found["suggestion"]["trial"]["snr_db"] >= 20
    assert {fit["family"] for fit in found["fits"]} == {"gaussian", "laplacian", "generalized gaussian", "student-t"}
    assert sum(found["histogram"]["counts"]) + found["histogram"]["below"] + found["histogram"]["above"] == 4096


def test_command_fails_as_the_others_do(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"w": weights(20, 20)}, path)
    assert "none: No such file" in command(tmp_path / "none", code=4).stderr
    assert "no tensor matches" in command(path, "--tensors", "v", code=1).stderr
    command(path, "--html", tmp_path / "no" / "page.html", code=4)
    command(path, "--target-snr", "0", code=2)
    neuralcodec.save(neuralcodec.encode(path), path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    assert "w" in command(path, code=3).stderr


def test_without_scipy_it_says_what_to_install(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "scipy" else find(name, *a))
    with pytest.raises(neuralcodec.NeuralCodecError, match=r'pip install "neuralcodec\[profile\]"'):
        neuralcodec.profile({"w": weights(4, 4)})


def test_import_needs_neither_scipy_nor_matplotlib():
    code = "import sys, neuralcodec; neuralcodec.profile; print({'scipy', 'matplotlib'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
