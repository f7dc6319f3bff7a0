"""The command line: what it prints, what it writes, how it exits."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import command
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from samples import weights
from typer.testing import CliRunner

import neuralcodec as library
from neuralcodec.cli.app import app
from neuralcodec.cli.progress import encoding_bar


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"fc.weight": weights(64, 128), "fc.bias": weights(64)}, path, {"format": "pt"})
    return path


def neuralcodec(*arguments, code=0):
    done = command.neuralcodec(*arguments)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def test_the_command_starts(source):
    program = Path(sys.executable).with_name("neuralcodec")
    done = subprocess.run([program, "codecs", "--json"], capture_output=True, text=True, check=True)
    assert {"huffman", "raw"} <= {codec["name"] for codec in json.loads(done.stdout)}
    missing = [sys.executable, "-m", "neuralcodec", "inspect", source.with_name("missing")]
    assert subprocess.run(missing, capture_output=True, check=False).returncode == 4


def test_there_and_back(source, tmp_path):
    done = neuralcodec("encode", source)
    small = tmp_path / "net.nc.safetensors"
    assert f"{small.stat().st_size:,} bytes" in done.stdout
    neuralcodec("decode", small, "-o", tmp_path / "back.safetensors")
    back, original = load_file(tmp_path / "back.safetensors"), load_file(source)
    assert torch.equal(back["fc.bias"], original["fc.bias"])
    assert torch.allclose(back["fc.weight"], original["fc.weight"], atol=0.02)
    assert "fc.weight" in neuralcodec("inspect", small).stdout
    assert "agrees with" in neuralcodec("verify", small, source).stdout


def test_lossless_there_and_back_is_exact(source, tmp_path):
    neuralcodec("encode", source, "-o", tmp_path / "x", "--lossless", "-q")
    neuralcodec("decode", tmp_path / "x", "-o", tmp_path / "y", "-q")
    back, original = load_file(tmp_path / "y"), load_file(source)
    assert all(torch.equal(back[name], original[name]) for name in original)


def test_json_for_scripts(source, tmp_path):
    report = json.loads(neuralcodec("encode", source, "-o", tmp_path / "x", "--target-bits", "5", "--json").stdout)
    assert report["bits_per_weight"] == pytest.approx(5, rel=0.02)
    seen = json.loads(neuralcodec("inspect", tmp_path / "x", "--json").stdout)
    assert seen["encoded_bytes"] == (tmp_path / "x").stat().st_size
    assert seen["metadata"] == {"format": "pt"}
    verified = json.loads(neuralcodec("verify", tmp_path / "x", source, "--json").stdout)
    assert verified["ok"] is True
    assert verified["report"]["snr_db"] == pytest.approx(report["snr_db"], abs=0.01)
    listed = {codec["name"]: codec for codec in json.loads(neuralcodec("codecs", "--json").stdout)}
    assert {"huffman", "raw"} <= listed.keys()
    assert any("bits" in option for option in listed["huffman"]["options"])


def test_overrides(source, tmp_path):
    neuralcodec("encode", source, "-o", tmp_path / "x", "-c", "kmeans", "--override", "fc.w*:clusters=2", "-q")
    neuralcodec("decode", tmp_path / "x", "-o", tmp_path / "y", "-q")
    assert len(torch.unique(load_file(tmp_path / "y")["fc.weight"])) == 2
    assert "PATTERN:NAME=VALUE" in neuralcodec("encode", source, "--override", "clusters=2", code=2).stderr
    assert "no tensor matches" in neuralcodec("encode", source, "--override", "nope:states=8", code=1).stderr
    both = ("--override", "*:step=0.5", "--override", "fc.w*:step=0.01")
    assert "'fc.w*' does nothing: '*' is before it" in neuralcodec("encode", source, *both, code=1).stderr
    neuralcodec("encode", source, "-o", tmp_path / "x", *both[2:], *both[:2])
    assert "give /dev/stdout" in neuralcodec("encode", source, "-o", "-", code=2).stderr
    assert "no option 'target'" in neuralcodec("encode", source, "-O", "target=3", code=2).stderr


def test_importance(source, tmp_path):
    rows = torch.ones(64, 1)
    rows[:32] = 1000
    save_file({"fc.weight": rows}, tmp_path / "importance")
    options = ("--target-bits", "3", "--importance", tmp_path / "importance")
    neuralcodec("encode", source, "-o", tmp_path / "x", *options, "-q")
    neuralcodec("decode", tmp_path / "x", "-o", tmp_path / "y", "-q")
    error = (load_file(tmp_path / "y")["fc.weight"] - load_file(source)["fc.weight"]).square().mean(1)
    assert error[:32].mean() < error[32:].mean() / 4

    assert "does not weight" in neuralcodec("encode", source, "-c", "huffman", *options, code=2).stderr
    (tmp_path / "importance").write_bytes(b"no such thing")
    assert "importance is not a safetensors file" in neuralcodec("encode", source, *options, code=1).stderr
    (tmp_path / "importance").unlink()
    assert "importance: No such file" in neuralcodec("encode", source, *options, code=4).stderr


def test_exit_codes_mean_something(source, tmp_path):
    small = tmp_path / "net.nc.safetensors"
    neuralcodec("encode", source, "-q", "--json")
    assert "cannot be met" in neuralcodec("encode", source, "--max-bytes", "10", code=1).stderr
    assert (
        "exclude each other" in neuralcodec("encode", source, "--max-bytes", "10", "--target-snr", "3", code=2).stderr
    )
    assert "did you mean" in neuralcodec("encode", source, "-c", "hufman", code=2).stderr
    assert "did you mean" in neuralcodec("encode", source, "-O", "statez=4", code=2).stderr
    neuralcodec("encode", source, "-O", "bits", code=2)
    assert "none: No such file" in neuralcodec("encode", tmp_path / "none", code=4).stderr
    neuralcodec("decode", tmp_path / "none", code=4)
    assert "not one that neuralcodec wrote" in neuralcodec("inspect", source, code=3).stderr
    assert "the input" in neuralcodec("encode", source, "-o", source, code=2).stderr
    data = bytearray(small.read_bytes())
    data[-3] ^= 4
    small.write_bytes(data)
    assert "fc." in neuralcodec("verify", small, code=3).stderr


def test_an_output_is_none_of_the_inputs(source, tmp_path):
    importance, link = tmp_path / "importance.safetensors", tmp_path / "link"
    save_file({"fc.weight": torch.ones(64, 1)}, importance)
    os.link(importance, link)
    before = importance.read_bytes(), source.read_bytes()
    for output in (importance, link):
        done = neuralcodec("encode", source, "--importance", importance, "-o", output, code=2)
        assert f"the output {output} is the input" in done.stderr
        neuralcodec("train-codec", source, "--importance", importance, "-o", output, code=2)
    neuralcodec("train-codec", tmp_path, "-o", source, code=2)
    assert (importance.read_bytes(), source.read_bytes()) == before


def test_without_a_standard_output(source, tmp_path):
    """As after ``>&-`` in a shell."""
    run = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-m', 'neuralcodec', *sys.argv[1:]])"
    words = ("encode", source, "-o", tmp_path / "small")
    done = subprocess.run([sys.executable, "-c", run, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(library.load(tmp_path / "small")) == 2


USAGE = (
    ("-O", "states=9"),
    ("-c", "nope"),
    ("--on-nonfinite", "nope"),
    ("--allocation", "nope", "--max-bytes", "9999"),
    ("--override", "fc.*:states=9"),
    ("--override", "fc.*:codec=nope"),
    ("-c", "huffman", "--importance", "any"),
    ("--target-bits", "-1"),
    ("--jobs", "0"),
)

CHECKPOINTS = {
    b"PK\x03\x04" + bytes(100): "torch.load it",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": "torch.load it",
    b'{"metadata": {}, "weight_map": {"w": "a.safetensors"}}': "ends with .index.json",
    b"no such thing": "header",
}


def test_files_that_are_taken_for_safetensors(tmp_path):
    for number, (data, said) in enumerate(CHECKPOINTS.items()):
        path = tmp_path / f"{number}.pth"
        path.write_bytes(data)
        assert said in neuralcodec("encode", path, code=1).stderr
    path = os.fsencode(tmp_path / "caf") + b"\xe9"
    save_file({"w": weights(20, 30)}, tmp_path / "caf")
    os.rename(tmp_path / "caf", path)
    assert "no path that is not UTF-8" in neuralcodec("encode", os.fsdecode(path), code=1).stderr


def test_other_encodings_of_the_terminal(source, tmp_path):
    small = tmp_path / "net.nc.safetensors"
    neuralcodec("encode", source, "-q")
    program = [sys.executable, "-m", "neuralcodec", "verify", small, source]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(program, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2713" in done.stdout


def test_an_end_on_request_leaves_nothing_behind(source, tmp_path):
    """As timeout, make and container runtimes end programs."""
    code = """
    import os, signal, sys
    from neuralcodec.cli import main
    from neuralcodec.container import writer
    writer.safetensors_header = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    main()
    """
    words = ("encode", source, "-o", tmp_path / "small")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), *words], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, b"")
    assert {path.name for path in tmp_path.iterdir()} == {source.name}


def test_what_the_command_line_alone_shows_to_be_wrong(source, tmp_path):
    for words in USAGE:
        neuralcodec("encode", source, "-o", tmp_path / "x", *words, code=2)
    neuralcodec("encode", source, "-q")
    small = tmp_path / "net.nc.safetensors"
    neuralcodec("transcode", small, "-O", "states=8", code=2)
    assert "generative" in neuralcodec("transcode", small, code=1).stderr
    neuralcodec("export-c", small, "-o", tmp_path / "x.c", "--name", "int", code=2)
    neuralcodec("export-c", small, "-o", tmp_path / "x.bin", "--name", "net", code=2)
    neuralcodec("export-c", small, "-o", small, code=2)
    assert {path.name for path in tmp_path.iterdir()} == {source.name, small.name}


def test_inputs_that_cannot_be_read(source, tmp_path):
    neuralcodec("encode", source, "-q")
    small, pipe = tmp_path / "net.nc.safetensors", tmp_path / "pipe"
    os.mkfifo(pipe)
    causes = {
        tmp_path / "none": "No such file",
        ".": "Is a directory",
        "..": "Is a directory",
        "/": "Is a directory",
        "": "Is a directory",
        pipe: "not a regular file",
    }
    for path, cause in causes.items():
        for verb in ("encode", "decode", "transcode", "inspect", "verify", "profile"):
            assert f"error: {path or '.'}: {cause}" in neuralcodec(verb, path, code=4).stderr
        assert f"{path or '.'}: {cause}" in neuralcodec("verify", small, path, code=4).stderr
        assert f"{path or '.'}: {cause}" in neuralcodec("export-c", path, "-o", tmp_path / "x.c", code=4).stderr
    neuralcodec("train-codec", tmp_path / "none", "-o", tmp_path / "x", code=4)


def test_outputs_are_looked_at_before_the_work(source, tmp_path, monkeypatch):
    neuralcodec("encode", source, "-q", "-c", "generative")
    small, missing = tmp_path / "net.nc.safetensors", tmp_path / "missing" / "x.c"
    for words in (("encode", source), ("decode", small), ("transcode", small), ("export-c", small)):
        error = neuralcodec(*words, "-o", missing, code=4).stderr
        assert f"error: {missing}: the folder does not exist" in error
    for name in ("encode", "decode_to_file", "transcode", "export_c"):
        monkeypatch.setattr(library, name, None)
    for words in (("encode", source), ("decode", small), ("transcode", small), ("export-c", small)):
        result = CliRunner().invoke(app, [*map(str, words), "-o", str(missing)])
        assert isinstance(result.exception, FileNotFoundError), result
    assert {path.name for path in tmp_path.iterdir()} == {source.name, small.name}


def test_output_to_a_pipe(source, tmp_path):
    neuralcodec("encode", source, "-q")
    small = tmp_path / "net.nc.safetensors"
    program = [sys.executable, "-m", "neuralcodec", "encode", source, "-o", "/dev/stdout"]
    done = subprocess.run(program, capture_output=True, check=True)
    assert done.stdout == small.read_bytes()
    assert b"bits/weight" in done.stderr
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        assert f"wrote {pipe}: 2 tensors\n" in neuralcodec("decode", small, "-o", pipe).stdout
        assert len(read.result(60)) > 64 * 128 * 4
    assert pipe.is_fifo()


HOSTILE = ("x\\[/b]", "back\\\\", "[bold", "x\x1b[31mRED\x1b]0;owned\x07", "\u202etac")


def test_names_do_not_steer_the_terminal(tmp_path):
    source, small = tmp_path / "net.safetensors", tmp_path / "net.nc.safetensors"
    save_file({name: weights(20, 30) for name in HOSTILE}, source)
    said = [neuralcodec("encode", source), neuralcodec("inspect", small), neuralcodec("verify", small, source)]
    said.append(neuralcodec("inspect", tmp_path / HOSTILE[0], code=4))
    said.append(neuralcodec("inspect", tmp_path / HOSTILE[3], code=4))
    for done in said:
        assert not {"\x1b", "\x07", "\u202e"} & {*done.stdout, *done.stderr}
    assert all(part in said[1].stdout for part in ("x\\[/b]", "back\\\\", "[bold", r"x\x1b[31mRED"))
    assert r"x\[/b]" in said[3].stderr

    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100, color_system=None)
    for name in HOSTILE:
        with encoding_bar(console, quiet=False) as progress:
            progress(name, 1, 2)
    assert r"encoding x\x1b[31mRED\x1b]0;owned\x07" in shown.getvalue()
    assert r"encoding x\[/b]" in shown.getvalue()
    assert not any(code in shown.getvalue() for code in ("\x1b[31m", "\x1b]", "\u202e"))


def test_an_empty_model(tmp_path):
    save_file({}, tmp_path / "net.safetensors")
    done = neuralcodec("encode", tmp_path / "net.safetensors")
    assert "no weights" in done.stdout
    assert "nan" not in done.stdout


def test_codecs_show_the_values_of_their_options():
    shown = neuralcodec("codecs", "--json").stdout
    options = {codec["name"]: codec["options"] for codec in json.loads(shown)}
    assert "small: int | 'auto' | None = 'auto'" in options["trellis"]
    assert "lossless: bool = False" in options["huffman"]
    assert "scale: 'row' | 'tensor' | None = None" in options["huffman"]
    assert not any(alias in shown for alias in ("Small", "Coding", "Centroids", "Literal"))


def test_verify_finds_another_original(source, tmp_path):
    small = tmp_path / "net.nc.safetensors"
    neuralcodec("encode", source, "-q")
    save_file({"fc.weight": weights(64, 128), "fc.bias": weights(64) + 1}, source)
    assert "fc.bias" in neuralcodec("verify", small, source, code=1).stderr
    assert "below 200" in neuralcodec("verify", small, source, "--min-snr", "200", code=1).stderr
    assert "--min-snr is a number" in neuralcodec("verify", small, source, "--min-snr", "nan", code=2).stderr
    assert "--min-snr is of the original" in neuralcodec("verify", small, "--min-snr", "20", code=2).stderr
    save_file({"fc.weight": weights(64, 127)}, source)
    problems = json.loads(neuralcodec("verify", small, source, "--json", code=1).stdout)["problems"]
    assert len(problems) == 2


def test_help_teaches():
    assert "export-c" in neuralcodec("--help").stdout
    assert "--target-bits 4" in neuralcodec("encode", "--help").stdout
    assert "stream version 1" in neuralcodec("--version").stdout


def test_a_codec_is_explained():
    assert "room: " in neuralcodec("codecs", "trellis").stdout
    (only,) = json.loads(neuralcodec("codecs", "kmeans", "--json").stdout)
    assert "centroids: 'fp32' | 'fp16' | 'bf16' | 'int8' = 'fp16'" in only["options"]
    assert "did you mean 'kmeans'" in neuralcodec("codecs", "kmean", code=2).stderr
