"""neuralcodec.tiled: layers that decode their weights when they run."""

import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from samples import weights
from torch import nn
from torch.nn.utils import prune

import neuralcodec
from neuralcodec.tiled import TiledConv2d, TiledEmbedding, TiledLinear

# Tiles of whole rows, pieces of a row, whole columns, pieces of a column, and one tile for everything.
CUTS = {
    "whole_rows": {"codec": "huffman", "tile": 700},
    "pieces_of_a_row": {"codec": "huffman", "tile": 50},
    "whole_columns": {"codec": "trellis", "scan": "columns", "tile": 200},
    "pieces_of_a_column": {"codec": "trellis", "scan": "columns", "tile": 24},
    "lossless": {"codec": "huffman", "lossless": True, "tile": 300},
    "indices": {"codec": "kmeans", "clusters": 16, "tile": 100},
    "one_tile": {"codec": "raw"},
}

LAYERS = {
    "linear": (lambda: nn.Linear(72, 40), (5, 7, 72)),
    "linear_vector": (lambda: nn.Linear(72, 40, bias=False), (72,)),
    "conv1d": (lambda: nn.Conv1d(12, 40, 5, padding="same"), (2, 12, 30)),
    "conv2d": (lambda: nn.Conv2d(8, 40, 3, stride=2, padding=1), (2, 8, 11, 9)),
    "conv2d_reflect": (lambda: nn.Conv2d(8, 40, 3, padding=2, dilation=2, padding_mode="reflect"), (2, 8, 11, 9)),
    "conv2d_groups": (lambda: nn.Conv2d(24, 40, 3, groups=4), (2, 24, 8, 7)),
    "conv2d_depthwise": (lambda: nn.Conv2d(64, 64, (3, 5), groups=64, bias=False), (2, 64, 9, 9)),
    "conv2d_multiplier": (lambda: nn.Conv2d(16, 48, 3, groups=16), (16, 9, 9)),
    "conv3d": (lambda: nn.Conv3d(4, 40, 3), (1, 4, 5, 6, 7)),
    "embedding": (lambda: nn.Embedding(40, 72, padding_idx=3), None),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Many small products with several threads take minutes where other processes have the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def example(shape):
    generator = torch.Generator().manual_seed(1)
    if shape is None:
        return torch.tensor([[3, 39, 0], [3, 7, 8]])
    return torch.randn(shape, generator=generator)


def decoded(model, cm):
    full = copy.deepcopy(model)
    cm.load_into(full)
    return full


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("layer", LAYERS)
@torch.no_grad()
def test_outputs_are_those_of_the_decoded_layer(layer, cut):
    torch.manual_seed(0)
    make, shape = LAYERS[layer]
    model, x = make().eval(), example(shape)
    cm = neuralcodec.encode(model, **CUTS[cut])
    expected = decoded(model, cm)(x)
    assert torch.equal(neuralcodec.tiled(model, cm, keep="layer")(x), expected)
    made = neuralcodec.tiled(model, cm, keep="tile")
    assert type(made).__name__ == f"Tiled{type(model).__name__}"
    # Sums of some 100 products near 1, in another order.
    torch.testing.assert_close(made(x), expected, rtol=1e-5, atol=2e-6)
    if layer == "embedding":
        assert torch.equal(made(x), expected)


def test_the_cuts_are_what_they_are_called():
    cm = {name: neuralcodec.encode({"w": weights(40, 72)}, **options) for name, options in CUTS.items()}
    places = {name: [place for place, _ in model.decode_tiles("w")] for name, model in cm.items()}
    assert all(len(found) > 1 for name, found in places.items() if name != "one_tile")
    assert {p.cols for p in places["whole_rows"]} == {72}
    assert all(p.rows == 1 and p.cols < 72 for p in places["pieces_of_a_row"])
    assert {p.rows for p in places["whole_columns"]} == {40}
    assert all(p.cols == 1 and p.rows < 40 for p in places["pieces_of_a_column"])
    for name, model in cm.items():
        whole = model.decode("w")
        assert [tuple(tile.shape) for _, tile in model.decode_tiles("w")] == [(p.rows, p.cols) for p in places[name]]
        assert sum(p.rows * p.cols for p in places[name]) == whole.numel()
        for place, tile in model.decode_tiles("w"):
            row, col, rows, cols = place
            assert torch.equal(tile, whole[row : row + rows, col : col + cols])
        some = [p for p, _ in model.decode_tiles("w", lambda place: place.row > 20)]
        assert some == [p for p in places[name] if p.row > 20]


@given(
    groups=st.sampled_from([1, 2, 3, 6]),
    inside=st.integers(1, 9),
    outside=st.integers(1, 9),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    cut=st.tuples(st.sampled_from(["rows", "columns"]), st.integers(1, 60)),
)
@torch.no_grad()
def test_convolutions_of_any_groups_and_tiles(groups, inside, outside, kernel, stride, cut):  # noqa: PLR0917
    scan, tile = cut
    assume(groups * inside * outside * kernel[0] * kernel[1] >= 256)  # smaller ones are kept as they are
    torch.manual_seed(0)
    model = nn.Conv2d(groups * inside, groups * outside, kernel, stride, padding=1, groups=groups).eval()
    model.weight.copy_(weights(*model.weight.shape, scale=1.0))
    cm = neuralcodec.encode(model, codec="trellis", scan=scan, tile=tile)
    x = torch.randn(2, groups * inside, 7, 6)
    made, expected = neuralcodec.tiled(model, cm, keep="tile"), decoded(model, cm)(x)
    torch.testing.assert_close(made(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("cut", ["whole_rows", "pieces_of_a_row", "pieces_of_a_column"])
@torch.no_grad()
def test_other_dtypes(dtype, cut):
    model = nn.Sequential(nn.Conv2d(8, 40, 3), nn.Flatten(), nn.Linear(40 * 4, 20)).to(dtype)
    cm = neuralcodec.encode(model, **CUTS[cut])
    x = example((3, 8, 4, 4)).to(dtype)
    expected = decoded(model, cm)(x)
    assert torch.equal(neuralcodec.tiled(model, cm, keep="layer")(x), expected)
    out = neuralcodec.tiled(model, cm, keep="tile")(x)
    assert out.dtype == dtype
    # Two layers: an activation that is rounded the other way, and the output.
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(out, expected, rtol=4 * eps, atol=4 * eps)
    converted = neuralcodec.tiled(model, cm, keep="layer").float()
    assert converted(x.float()).dtype == torch.float32
    assert converted[0].weight.dtype == torch.float32


def test_a_module_of_many_kinds(net):
    net.eval()
    cm = neuralcodec.encode(net)
    made, full = neuralcodec.tiled(net, cm, keep="tile"), decoded(net, cm)
    kinds = [type(module).__name__ for module in made.children()]
    assert kinds == ["TiledConv2d", "BatchNorm2d", "TiledConv2d", "TiledEmbedding", "TiledLinear"]
    assert not made.training
    # What it holds decoded, and nothing of what it decodes.
    left = {n: t for n, t in full.state_dict().items() if n not in
            ("conv.weight", "depthwise.weight", "embed.weight", "head.weight")}  # fmt: skip
    assert made.state_dict().keys() == left.keys()
    assert all(torch.equal(made.state_dict()[name], t) for name, t in left.items())
    assert not any(p.requires_grad for p in made.parameters())
    # Tied weights are one payload.
    assert torch.equal(made.embed.weight, made.head.weight)
    assert torch.equal(made.head.weight, full.head.weight)
    assert isinstance(made.head, nn.Linear)
    assert repr(made.head).startswith("TiledLinear(in_features=32, out_features=100, bias=False, codec=trellis, bytes=")
    assert "keep=tile" in repr(made.head)
    # The module itself stays as it is.
    assert isinstance(net.conv.weight, nn.Parameter)
    assert net.conv.weight.requires_grad


def test_a_shared_module_stays_one(net):
    layer = nn.Linear(32, 32)
    model = nn.Sequential(layer, nn.ReLU(), layer).eval()
    cm = neuralcodec.encode(model)
    made = neuralcodec.tiled(model, cm, keep="tile")
    assert made[0] is made[2]
    x = example((4, 32))
    torch.testing.assert_close(made(x), decoded(model, cm)(x))


@torch.no_grad()
def test_what_else_reads_weights_gets_them():
    # In evaluation this layer passes the weights of its linear layers to a fused kernel instead of calling them.
    model = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    cm = neuralcodec.encode(model)
    made = neuralcodec.tiled(model, cm, keep="tile")
    assert isinstance(made.linear1, TiledLinear)
    assert type(made.self_attn.out_proj) is type(model.self_attn.out_proj)
    x = example((2, 5, 32))
    torch.testing.assert_close(made(x), decoded(model, cm)(x), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_weights_made_from_others_are_loaded():
    model = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(32, 32)), nn.LSTM(32, 32), nn.Embedding(20, 20, max_norm=1.0)
    )
    cm = neuralcodec.encode(model)
    made, full = neuralcodec.tiled(model, cm, keep="tile"), decoded(model, cm)
    assert [isinstance(m, (TiledLinear, TiledEmbedding)) for m in made] == [False, False, False]
    x = example((4, 32))
    assert torch.equal(made[0](x), full[0](x))
    assert torch.equal(made[1](x)[0], full[1](x)[0])


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weights_made_by_hooks():
    def make():
        made = nn.Sequential(nn.Linear(32, 32), nn.utils.weight_norm(nn.Linear(32, 32)), nn.Linear(32, 4))
        prune.l1_unstructured(made[0], "weight", 0.75)
        return made

    model, full, x = make(), make(), example((4, 32))
    cm = neuralcodec.encode(model)
    assert cm.entry("0.weight_mask").reason == "exact: a mask of torch.nn.utils.prune"
    assert torch.equal(cm.decode("0.weight_mask"), model[0].weight_mask)
    cm.load_into(full)
    model(x).sum().backward()
    made = neuralcodec.tiled(model, cm)
    assert torch.equal(made(x), full(x))
    assert (made[0].weight == 0).float().mean() == 0.75


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("keep", ["tile", "layer"])
@torch.no_grad()
def test_compiled_and_traced(keep):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 20), nn.Linear(20, 50))
    model = model.append(nn.Linear(50, 50)).eval()
    x = example((2, 3, 6, 6))
    made = neuralcodec.tiled(model, neuralcodec.encode(model), keep=keep)
    for each in (torch.compile(made, backend="aot_eager"), torch.jit.trace(made, x)):
        torch.testing.assert_close(each(x), made(x))
    table = neuralcodec.tiled(nn.Embedding(40, 72), neuralcodec.encode(nn.Embedding(40, 72)), keep=keep)
    compiled = torch.compile(table, backend="aot_eager")
    assert torch.equal(compiled(example(None)), table(example(None)))


def test_training_mode_and_gradients():
    model = nn.Sequential(nn.Linear(32, 32), nn.Dropout(0.5), nn.BatchNorm1d(32), nn.Linear(32, 4)).train()
    cm = neuralcodec.encode(model)
    made = neuralcodec.tiled(model, cm, keep="tile")
    assert made.training
    assert made[1].training
    assert made(example((8, 32))).requires_grad is False
    assert not torch.equal(made[2].running_mean, model[2].running_mean)
    # Gradients of inputs are right, and there is nothing else to train.
    made = neuralcodec.tiled(model, cm, keep="tile").eval()
    full = decoded(model, cm).eval()
    gradients = []
    for which in (made, full):
        x = example((8, 32)).requires_grad_()
        which(x).square().sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)
    assert all(p.grad is None for p in made.parameters())
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        made(example((8, 32))).sum().backward()


def test_what_compiles_modules_is_not_imported_before_it_is_needed():
    script = """
import sys, torch, neuralcodec
model = torch.nn.Linear(40, 40)
neuralcodec.tiled(model, neuralcodec.encode(model))(torch.zeros(1, 40))
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@torch.no_grad()
def test_copies_and_pickles(net):
    net.eval()
    cm = neuralcodec.encode(net)
    x = example((2, 3, 9, 9))
    made = neuralcodec.tiled(net, cm, keep="tile")
    twin = copy.deepcopy(made)
    assert twin.conv.compressed.cm is cm  # it never changes
    back = pickle.loads(pickle.dumps(made))
    assert back.conv.compressed.cm is back.head.compressed.cm
    assert back.conv.compressed.cm.to_bytes() == cm.to_bytes()
    assert str(back.conv.compressed.cm.report()) == str(cm.report())
    for other in (twin, back):
        assert type(other.conv) is TiledConv2d
        assert torch.equal(other.conv(x), made.conv(x))
        assert torch.equal(other.head.weight, made.head.weight)
    file = io.BytesIO()
    torch.save(made, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False).conv(x), made.conv(x))


def test_a_weight_that_is_held_beside_its_layer_is_the_decoded_one():
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(32, 32)
            self.held = (self.layer.weight,)

        def forward(self, x):
            return nn.functional.linear(self.layer(x), self.held[0])

    model = Beside()
    cm = neuralcodec.encode(model, "kmeans", clusters=4)
    small = neuralcodec.tiled(model, cm)
    cm.load_into(model.requires_grad_(False))
    x = torch.randn(3, 32)
    assert torch.equal(small(x), model(x))
    assert not small(x).requires_grad


def test_hooks_and_settings_come_along():
    model = nn.Linear(32, 16)
    calls = []
    model.register_forward_hook(lambda module, args, out: calls.append(type(module).__name__))
    model.note = "kept"
    made = neuralcodec.tiled(model, neuralcodec.encode(model))
    made(example((32,)))
    assert calls == ["TiledLinear"]
    assert made.note == "kept"


@torch.no_grad()
def test_the_copy_of_a_module_on_the_meta_device_is_on_the_cpu_whatever_the_default_device():
    model = nn.Sequential(nn.Linear(32, 16), nn.BatchNorm1d(16)).eval()
    cm, x = neuralcodec.encode(model), example((3, 32))
    with torch.device("meta"):
        made = neuralcodec.tiled(nn.Sequential(nn.Linear(32, 16), nn.BatchNorm1d(16)).eval(), cm)
    assert torch.equal(made(x), neuralcodec.tiled(model, cm)(x))


@torch.no_grad()
def test_a_module_on_the_meta_device_takes_no_memory():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.rnn = nn.Linear(32, 48), nn.BatchNorm1d(48), nn.GRU(48, 8)

        def forward(self, x):
            return self.rnn(self.norm(self.first(x)))[0]

    real = Model().eval()
    cm = neuralcodec.encode(real)
    with torch.device("meta"):
        model = Model().eval()
    made = neuralcodec.tiled(model, cm, keep="layer")
    x = example((4, 32))
    assert torch.equal(made(x), decoded(real, cm)(x))
    assert {t.device.type for t in [*made.parameters(), *made.buffers()]} == {"cpu"}
    assert model.first.weight.is_meta
    model.register_buffer("lost", torch.empty(3, device="meta"), persistent=False)
    with pytest.raises(neuralcodec.NeuralCodecError, match="buffer 'lost' is on the meta device") as raised:
        neuralcodec.tiled(model, cm, keep="tile")
    assert raised.value.tensor == "lost"


def test_names_and_shapes_must_match():
    model = nn.Sequential(nn.Linear(32, 16), nn.Linear(16, 16))
    cm = neuralcodec.encode(model)
    for other, message in (
        (nn.Sequential(nn.Linear(32, 16)), "not in the module: '1.bias', '1.weight'"),
        (nn.Sequential(*model, nn.Linear(2, 2)), "missing from the compressed model: '2.weight', '2.bias'"),
        (nn.Sequential(nn.Linear(32, 16), nn.Linear(16, 17)), "other shape: '1.bias', '1.weight'"),
    ):
        with pytest.raises(neuralcodec.NeuralCodecError, match=message):
            neuralcodec.tiled(other, cm)
    with pytest.raises(neuralcodec.NeuralCodecError, match=r"keep is .* not 'row'"):
        neuralcodec.tiled(model, cm, keep="row")
    with pytest.raises(RuntimeError, match="Unexpected key"):
        neuralcodec.tiled(model, cm, keep="tile").load_state_dict(model.state_dict())


def test_an_index_out_of_range():
    model = nn.Embedding(40, 16)
    made = neuralcodec.tiled(model, neuralcodec.encode(model), keep="tile")
    for index in (40, -1):
        with pytest.raises(IndexError, match=f"index {index} is out of range: there are 40"):
            made(torch.tensor([3, index]))
    assert made(torch.zeros(0, dtype=torch.long)).shape == (0, 16)


@torch.no_grad()
def test_an_embedding_decodes_only_what_is_asked_for(monkeypatch):
    model = nn.Embedding(1000, 64)
    cm = neuralcodec.encode(model, codec="huffman", tile=640)
    taken = []
    decode = neuralcodec.CompressedModel.decode_tiles

    def spy(*args):
        for place, tile in decode(*args):
            taken.append(place.row)
            yield place, tile

    monkeypatch.setattr(neuralcodec.CompressedModel, "decode_tiles", spy)
    out = neuralcodec.tiled(model, cm, keep="tile")(torch.tensor([5, 999, 7, 19]))
    assert taken == [0, 10, 990]
    assert torch.equal(out, cm.decode("weight")[[5, 999, 7, 19]])


@torch.no_grad()
def test_payloads_are_read_when_they_are_used(tmp_path):
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    path = tmp_path / "model.nc.safetensors"
    neuralcodec.save(neuralcodec.encode(model, codec="huffman", tile=512), path)
    cm = neuralcodec.load(path)
    made = neuralcodec.tiled(model, cm, keep="tile")
    x = example((4, 64))
    torch.testing.assert_close(made(x), decoded(model, cm)(x))
    place = cm.entry("1.weight").place
    data = bytearray(path.read_bytes())
    at = len(data) - cm.stream_size + place.offset + place.size - 1
    with path.open("r+b") as file:  # the file that is open
        file.seek(at)
        file.write(bytes([data[at] ^ 1]))
    made[0](x)
    with pytest.raises(neuralcodec.ChecksumError, match=r"1\.weight"):
        made(x)


PEAK = """
import sys
import torch
import neuralcodec
torch.set_num_threads(1)
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
path, how = sys.argv[1:]
with torch.device("meta"):
    model = torch.nn.Sequential(*[torch.nn.Linear(2048, 2048) for _ in range(12)]).eval()
x = torch.randn(1, 2048)
with torch.inference_mode():
    torch.nn.Linear(2048, 2048)(x)  # what matrix products set up once
    cm = neuralcodec.load(path)
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    if how == "decoded":
        made = model.to_empty(device="cpu")
        cm.load_into(made)
    else:
        made = neuralcodec.tiled(model, cm, keep=how)
    made(x)
print(status("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def twelve_layers(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiled") / "model.nc.safetensors"
    one = weights(2048, 2048)
    state = {f"{i}.weight": torch.roll(one, i, 0) for i in range(12)} | {f"{i}.bias": one[i].clone() for i in range(12)}
    neuralcodec.save(neuralcodec.encode(state, codec="huffman", bits=8), path)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("how", "least", "most"),
    [
        ("decoded", 12 * 16, 12 * 16 + 64),
        ("layer", 16, 16 + 4 + 8),  # the weights of one, and its payload of 4 MB
        ("tile", 0, 4 + 4),  # the payload that is read, and a tile of 16 KB
    ],
)
def test_peak_memory(twelve_layers, how, least, most):
    command = [sys.executable, "-c", PEAK, str(twelve_layers), how]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024
    print(f"{how}: {grown:.1f} MB")
    assert least <= grown <= most, (how, grown)
