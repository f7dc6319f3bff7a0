"""What the records of a method depend on: nothing that encodes is missed, and other codecs do not count."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import firmware, sources
from bench.method import methods

ROOT = Path(__file__).resolve().parent.parent

CALLED = """
import json, sys, tempfile
import torch
import neuralcodec
from neuralcodec import Target
files = set()
def called(frame, event, arg):
    files.add(frame.f_code.co_filename)
name, options = sys.argv[1], json.loads(sys.argv[2])
torch.manual_seed(0)
model = {"w": torch.randn(40, 30), "v": torch.randn(30, 30), "b": torch.randn(40), "n": torch.arange(9)}
neuralcodec.encode(model, name, **options)  # imports what it uses
sys.setprofile(called)
with tempfile.NamedTemporaryFile() as file:
    cm = neuralcodec.encode(model, name, **options)
    if name != "raw" and not options.get("lossless"):
        neuralcodec.encode(model, name, Target(bits_per_weight=8), **options)
    neuralcodec.save(cm, file.name)
    neuralcodec.decode(file.name)
sys.setprofile(None)
print(json.dumps(sorted(files)))
"""


def relative(paths):
    return {path.relative_to(ROOT).as_posix() for path in paths}


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("trellis", {"states": 8}),
        ("huffman", {}),
        ("huffman", {"lossless": True}),
        ("kmeans", {}),
        ("raw", {}),
        ("generative", {}),
        ("regression", {}),
    ],
)
def test_every_function_that_runs_is_in_a_file_that_counts(codec, options, tmp_path):
    command = [sys.executable, "-c", CALLED, codec, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    ran = {Path(name).resolve() for name in json.loads(done.stdout)}
    inside = {p for p in ran if any(p.is_relative_to(ROOT / f) for f in ("neuralcodec", "codecs", "models"))}
    assert len(inside) > 10
    counted = {*sources.encoder((codec,)), *sources.decoder()}
    assert relative(inside - counted) <= {"neuralcodec/report.py"}


def test_every_native_source_counts_for_some_codec_or_for_decoding():
    counted = {*sources.encoder(None), *sources.decoder()}
    native = {p for p in (ROOT / "neuralcodec" / "_native").iterdir() if p.is_file()}
    # The one names the others, and prepared tensors are another form of what is encoded.
    assert relative(native - counted) <= {f"neuralcodec/_native/{name}.cpp" for name in ("module", "prepared")}
    binding_nothing = {p.name for p in native if p.suffix == ".cpp" and not sources.BOUND.search(p.read_text())}
    named_alike = {p.with_suffix(".cpp").name for p in native if p.suffix == ".hpp"}
    assert binding_nothing - named_alike - {"module.cpp"} == {n for names in sources.DEFINED_IN.values() for n in names}


def test_every_file_of_a_codec_counts_for_it():
    for name, module in sources.built_in().items():
        place = ROOT.joinpath("codecs", *module.removeprefix("neuralcodec.codecs.").split("."))
        files = [p for p in place.rglob("*") if p.is_file() and p.suffix != ".pyc"] or [place.with_suffix(".py")]
        assert relative(files) <= relative(sources.encoder((name,))), name


def test_all_data_of_models_counts_for_some_codec():
    data = {p for p in (ROOT / "models").rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc", ".md"}}
    assert relative(data) <= relative(sources.encoder(None))


def test_what_the_encoder_shares_with_the_decoder_counts():
    assert "firmware_decoder/src/generative_model.h" in relative(sources.encoder(("generative",)))
    of_trellis = {path for path in relative(sources.encoder(("trellis",))) if path.startswith("firmware_decoder")}
    assert of_trellis == {"firmware_decoder/src/quantizer.h"}


def test_other_codecs_do_not_count():
    huffman, trellis, kmeans = (relative(sources.encoder((name,))) for name in ("huffman", "trellis", "kmeans"))
    assert not any("trellis" in path or "kmeans" in path for path in huffman)
    assert not any("kmeans/codec" in path or "lagrangian" in path for path in trellis)
    assert not any("trellis" in path for path in kmeans)
    learned = ("autoencoder", "generative", "regression")
    assert not any(name in path for name in learned for path in huffman | trellis | kmeans)
    assert {"neuralcodec/_native/trellis.cpp", "neuralcodec/plan/search.py", "codecs/kmeans/frequencies.py"} <= trellis
    shared = {
        "neuralcodec/api.py",
        "neuralcodec/container/writer.py",
        "neuralcodec/_native/common.hpp",
        "codecs/raw.py",
    }
    assert shared <= huffman & trellis & kmeans
    assert huffman | trellis | kmeans <= relative(sources.encoder(None))
    assert sources.encoder(("of nobody",)) == sources.encoder(None), "an unknown codec may be any"


def test_methods_say_which_codec_they_use():
    named = {name: method for name, method in methods().items() if method.codecs is not None}
    assert {"huffman", "huffman_lossless", "kmeans", "trellis"} <= named.keys()
    for name, method in named.items():
        text = method.path.read_text(encoding="utf-8")
        scope = {}
        exec(compile(text, method.path, "exec"), scope)
        if "options" in scope:
            assert scope["options"]({})["codec"] in method.codecs, name
        assert set(method.codecs) <= sources.built_in().keys(), name


def test_codecs_that_are_off_on_microcontrollers_are_not_measured_there():
    found = methods()
    assert not firmware.can_decode(found["generative"])
    assert not firmware.can_decode(found["generative_least"])
    assert firmware.can_decode(found["trellis"])


def test_a_native_function_that_no_source_binds_is_noticed():
    with pytest.raises(sources.SourceError, match="made_up"):
        sources._native_sources({"scan", "made_up"})


def test_imports_for_type_checkers_do_not_count():
    text = "import a\nif TYPE_CHECKING:\n    import b\ndef f():\n    from c import d\n"
    assert set(sources.imported(ast.parse(text))) == {"a", "c", "c.d"}


def test_an_extension_of_other_sources_is_noticed(tmp_path):
    """By the stamp that scripts/setup.sh leaves, made here by its own commands."""
    script = (ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8")
    (command,) = re.findall(r"sources_hash=\$\((find .*?sha256sum \| sha256sum)\)", script, re.DOTALL)
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    stamp = tmp_path / "sources.stamp"
    assert not sources.is_outdated(stamp), "nothing is known"
    stamp.write_text(done.stdout)
    assert not sources.is_outdated(stamp)
    stamp.write_text("0" * 64 + "  -\n")
    assert sources.is_outdated(stamp)
