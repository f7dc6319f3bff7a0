"""Memory is bounded by the largest tensor, not by the model."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

PEAK = """
import sys
import torch
import neuralcodec
torch.set_num_threads(1)
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
source, encoded, decoded, verb, codec = sys.argv[1:]
if verb == "encode":
    # One state and large steps: time, and no memory to speak of.
    options = {"states": 1, "relative_step": 0.3} if codec == "trellis" else {"bits": 4}
    neuralcodec.save(neuralcodec.encode(source, codec, **options), encoded)
else:
    neuralcodec.decode_to_file(neuralcodec.load(encoded), decoded)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_model_of_many_tensors_takes_the_memory_of_one(tmp_path):
    megabytes, count = 8, 24
    names = [str(tmp_path / name) for name in ("source", "encoded", "decoded")]
    layer = torch.randn(1024, 256 * megabytes)
    save_file({f"layer{i}": layer * (i + 1) for i in range(count)}, names[0])
    files = {f"layer{i}": f"{i}.safetensors" for i in range(count)}
    for name, file in files.items():
        save_file({name: layer}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    of_encoding = 32 + 64 + 6 * megabytes
    for source, verb, codec, most in (
        (names[0], "encode", "trellis", of_encoding),
        (names[0], "decode", "trellis", 4 * megabytes),
        (str(index), "encode", "huffman", of_encoding),
    ):
        arguments = [source, *names[1:], verb, codec]
        done = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
        grown = int(done.stdout) / 1024
        assert grown < most, (source, verb, grown)  # of 192 MB
