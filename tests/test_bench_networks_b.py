"""Task metrics and what surrounds the networks from package registries, against cases worked by hand."""

import math

import numpy as np
import pytest
import torch

from bench import metrics
from bench.networks import g2p, minilm, rapidocr, silero, torchcrepe

MODULES = (torchcrepe, silero, g2p, minilm, rapidocr)

# Metrics


def test_ranks_share_ties():
    assert metrics.ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


def test_spearman_by_hand():
    # Without ties 1 - 6 Σd² / (n (n² - 1)); here d is 1, 1, 0, 0.
    assert metrics.spearman(np.array([1.0, 2, 3, 4]), np.array([20.0, 10, 30, 40])) == pytest.approx(1 - 12 / 60)
    # With a tie, ranks are 1.5, 1.5, 3 and 1, 2, 3: products of their deviations add to 1.5, squares to 1.5 and 2.
    assert metrics.spearman(np.array([1.0, 1, 2]), np.array([1.0, 2, 3])) == pytest.approx(1.5 / math.sqrt(1.5 * 2))
    assert metrics.spearman(np.array([1.0, 1, 1]), np.array([1.0, 2, 3])) == 0


def test_roc_area_by_hand():
    scores = np.array([0.9, 0.5, 0.4, 0.5, 0.1, 0.2])
    positive = np.array([True, True, True, False, False, False])
    # Of nine pairs (0.9: 3 wins; 0.5: 2 and a tie; 0.4: 2) 7.5 are won. The shares that each sample wins are
    # 1, 5/6, 2/3 for positives and 1/2, 1, 1 for negatives, with variances 1/36 and 1/12; each counts a third.
    area = metrics.roc_area(scores, positive, np.arange(6))
    assert area.value == pytest.approx(7.5 / 9)
    by_delong = math.sqrt((1 / 36 + 1 / 12) / 3)
    # Clusters of one sample: the part of either kind is as DeLong has it.
    assert area.stderr == pytest.approx(by_delong)


def test_roc_area_of_clusters_that_agree_is_no_surer_than_one_of_each():
    rng = np.random.default_rng(0)
    scores, positive = rng.standard_normal(200), np.arange(200) < 100
    scores[positive] += 1
    alone = metrics.roc_area(scores, positive, np.arange(200))
    copies = metrics.roc_area(np.tile(scores, 4), np.tile(positive, 4), np.tile(np.arange(200), 4))
    assert copies.value == pytest.approx(alone.value)
    assert copies.stderr == pytest.approx(alone.stderr)


def test_edit_distance_by_hand():
    assert metrics.edit_distance("kitten", "sitting") == 3
    assert metrics.edit_distance("", "abc") == metrics.edit_distance("abc", "") == 3
    assert metrics.edit_distance(("K", "AE1", "T"), ("K", "AE1", "T")) == 0


def test_error_rate_by_hand():
    # 3 errors of 12 symbols; errors less the rate times symbols: -1, 1, 0; √(2 · 3/2) / 12.
    rate = metrics.error_rate([0, 2, 1], [4, 4, 4])
    assert rate.value == 0.25
    assert rate.stderr == pytest.approx(math.sqrt(3) / 12)


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.array([1.0, 4, 2, 7, 5])
    without = [np.delete(values, i).mean() for i in range(5)]
    assert metrics.jackknife(without) == pytest.approx(values.std(ddof=1) / math.sqrt(5))


# Pitch


def test_pitch_is_the_weighted_mean_around_the_strongest_bin():
    bins = torch.zeros(1, torchcrepe.BINS)
    bins[0, 100], bins[0, 101] = 0.6, 0.2
    bins[0, 200] = 0.5  # too far to count
    expected = 100.25 * torchcrepe.CENTS_A_BIN + torchcrepe.FIRST_BIN_CENTS
    assert float(torchcrepe.pitch_of(bins)) == pytest.approx(expected, abs=1e-4)


def test_errors_in_cents_and_accuracy_by_hand():
    class Always(torch.nn.Module):
        def forward(self, frames):
            return torch.eye(torchcrepe.BINS)[[100] * len(frames)]

    pitch = 100 * torchcrepe.CENTS_A_BIN + torchcrepe.FIRST_BIN_CENTS
    cents = torch.tensor([pitch, pitch + 49, pitch - 51, pitch + 1200], dtype=torch.float64)
    off = torchcrepe.errors(Always(), torchcrepe.Sounds(torch.zeros(4, torchcrepe.FRAME), cents))
    assert off.tolist() == pytest.approx([0, 49, 51, 1200])
    assert torchcrepe.within(off) == 0.5
    assert torchcrepe.within(torch.tensor([0.0, math.nan])) == 0.5


@pytest.mark.parametrize("octaves_a_second", [0.0, 3.0])
def test_tones_have_their_pitch_in_the_middle(octaves_a_second):
    sounds = torchcrepe.tones(20, -300.0, seed=2, octaves_a_second=octaves_a_second)
    assert torch.allclose(sounds.frames.square().mean(1), torch.ones(20), atol=1e-4)
    highest = int(sounds.cents.argmax())
    frequency = 10 * 2 ** (float(sounds.cents[highest]) / 1200)
    period = torchcrepe.RATE / frequency
    # A signal repeats after its period: compare the middle with itself shifted by the nearest whole number of samples.
    middle = sounds.frames[highest, 448:576].double()
    whole = round(period)
    shifted = sounds.frames[highest, 448 + whole : 576 + whole].double()
    assert float(torch.corrcoef(torch.stack([middle, shifted]))[0, 1]) > 0.8


def test_crepe_takes_its_size():
    frames = torch.randn(2, torchcrepe.FRAME, generator=torch.Generator().manual_seed(0))
    assert torchcrepe.Crepe("tiny").eval()(frames).shape == (2, torchcrepe.BINS)


# Speech


def test_loudness_in_decibels():
    signal = np.concatenate([np.ones(512), np.full(512, 0.1), np.zeros(100)])
    assert silero.loudness(signal) == pytest.approx([0, -20], abs=1e-6)


def test_pink_noise_falls_by_3_db_an_octave():
    power = np.abs(np.fft.rfft(silero.noise("pink", 1 << 18, np.random.default_rng(0)))) ** 2
    ratio = power[2000:4000].mean() / power[4000:8000].mean()
    assert 10 * np.log10(ratio) == pytest.approx(3.01, abs=0.3)


def test_silero_shapes_and_fresh_start():
    shapes = {"conv1": (128, 129, 3), "conv2": (64, 128, 3), "conv3": (64, 64, 3), "conv4": (128, 64, 3)}
    generator = torch.Generator().manual_seed(0)
    state = {f"{name}.weight": torch.randn(shape, generator=generator) / 10 for name, shape in shapes.items()}
    state |= {f"{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}
    state["stft_conv.weight"] = torch.randn(258, 1, 256, generator=generator)
    state |= {
        f"lstm_cell.{name}": torch.randn(512, 128, generator=generator) / 10 for name in ("weight_ih", "weight_hh")
    }
    state |= {f"lstm_cell.{name}": torch.zeros(512) for name in ("bias_ih", "bias_hh")}
    state |= {"final_conv.weight": torch.randn(1, 128, 1, generator=generator), "final_conv.bias": torch.zeros(1)}
    sound = torch.randn(2, 3 * silero.FRAME, generator=generator)
    both = silero.probabilities(state, sound)
    assert both.shape == (2, 3)
    assert torch.allclose(both[1:], silero.probabilities(state, sound[1:]), atol=1e-6)
    # What comes later does not change what was heard before.
    assert torch.allclose(both[:, :2], silero.probabilities(state, sound[:, : 2 * silero.FRAME]), atol=1e-6)


# Words


def test_dictionary_lines():
    found = g2p.parse(["aalborg AO1 L B AO0 R G # place, danish", "aalborg(2) AA1 L B AO0 R G", "a.d. EY2 D IY1"])
    assert [word.spelling for word in found] == ["aalborg"]
    assert found[0].said == (("AO1", "L", "B", "AO0", "R", "G"), ("AA1", "L", "B", "AO0", "R", "G"))


def test_g2p_writes_until_the_end_and_pads_nothing():
    hidden = 4
    state = {f"{part}_{name}": torch.zeros(3 * hidden, hidden) for part in ("enc", "dec") for name in ("w_ih", "w_hh")}
    state |= {f"{part}_{name}": torch.zeros(3 * hidden) for part in ("enc", "dec") for name in ("b_ih", "b_hh")}
    state |= {"enc_emb": torch.zeros(29, hidden), "dec_emb": torch.zeros(74, hidden), "fc_w": torch.zeros(74, hidden)}
    state["fc_b"] = torch.zeros(74).index_fill(0, torch.tensor([g2p.END]), 1.0)
    assert g2p.pronounce(state, ["a", "word"]) == [(), ()]
    state["fc_b"] = torch.zeros(74).index_fill(0, torch.tensor([g2p.FIRST_PHONEME]), 1.0)
    assert g2p.pronounce(state, ["a"]) == [("AA0",) * g2p.LONGEST]
    assert len(g2p.PHONEMES) + g2p.FIRST_PHONEME == 74


def test_wordpieces_on_a_tiny_vocabulary():
    names = ["[UNK]", "[CLS]", "[SEP]", "play", "##ing", "##in", "##g", "cafe", "-", "a"]
    vocabulary = {name: i for i, name in enumerate(names)}

    def pieces(text):
        return [names[i] for i in minilm.wordpieces(text, vocabulary)]

    assert pieces("Playing") == ["[CLS]", "play", "##ing", "[SEP]"]
    assert pieces("Café-a") == ["[CLS]", "cafe", "-", "a", "[SEP]"]
    assert pieces("playx a") == ["[CLS]", "[UNK]", "a", "[SEP]"]
    assert pieces("") == ["[CLS]", "[SEP]"]


def test_pairs_of_words():
    vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "cat": 3, "dog": 4}
    pairs = minilm.read_pairs("# a comment\ndog\tcat\t7.5\ncat\tcat\t10\n", vocabulary)
    assert pairs.tokens == [[1, 3, 2], [1, 4, 2]]
    assert (pairs.first.tolist(), pairs.second.tolist(), pairs.similarity.tolist()) == ([1, 0], [0, 0], [7.5, 10])


def test_padding_does_not_change_an_embedding():
    generator = torch.Generator().manual_seed(0)

    def made(*shape):
        return torch.randn(shape, generator=generator) / 10

    state = {"embeddings.word_embeddings.weight": made(10, 24), "embeddings.position_embeddings.weight": made(8, 24)}
    state["embeddings.token_type_embeddings.weight"] = made(2, 24)
    sizes = {"output": (24, 48), "intermediate": (48, 24), "attention.output": (24, 24)}
    sizes |= {f"attention.self.{name}": (24, 24) for name in ("query", "key", "value")}
    norms = ["embeddings"]
    for i in range(minilm.LAYERS):
        layer = f"encoder.layer.{i}"
        norms += [f"{layer}.attention.output", f"{layer}.output"]
        for name, shape in sizes.items():
            full = f"{layer}.{name}" if "self" in name else f"{layer}.{name}.dense"
            state |= {f"{full}.weight": made(*shape), f"{full}.bias": made(shape[0])}
    for name in norms:
        state |= {f"{name}.LayerNorm.weight": torch.ones(24), f"{name}.LayerNorm.bias": torch.zeros(24)}
    together = minilm.embed(state, [[1, 3, 2], [1, 4, 5, 6, 2]])
    assert torch.allclose(together[0], minilm.embed(state, [[1, 3, 2]])[0], atol=1e-6)
    assert torch.allclose(together.norm(dim=1), torch.ones(2))


# Text


def test_ctc_by_hand():
    assert rapidocr.read_ctc([0, 1, 1, 0, 1, 2, 2, 0], ["", "a", "b"]) == "aab"
    assert rapidocr.read_ctc([0, 0], ["", "a"]) == ""
    assert rapidocr.plain("a b？") == "ab?"


def test_batches_are_gray_on_the_right():
    pictures = [np.zeros((rapidocr.HEIGHT, 3), np.uint8), np.full((rapidocr.HEIGHT, 5), 255, np.uint8)]
    (batch,) = rapidocr.batches([rapidocr.Line("", picture) for picture in pictures])
    assert batch.shape == (2, 3, rapidocr.HEIGHT, 5)
    assert batch[0, 0, 0].tolist() == [-1, -1, -1, 0, 0]
    assert batch[1].min() == 1


# All


def test_networks_say_what_they_are():
    found = {network.name: network for module in MODULES for network in module.NETWORKS}
    assert set(found) == {"crepe-tiny", "crepe-full", "silero-vad", "g2p-en", "minilm", "rapidocr"}
    assert {name for name, network in found.items() if network.quick} == {"silero-vad", "g2p-en"}
    for network in found.values():
        assert network.evaluate is not None
        assert network.margin < network.expected
        assert network.missing() is None or isinstance(network.missing(), str)
