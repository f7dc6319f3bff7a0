"""The command line, run as a user does, but for the seconds that importing torch takes.

One process imports neuralcodec and does nothing else; each command is run by a copy of it, with its own standard output
and error. What starts a command in earnest is for a test of its own.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SERVER = """
import json, os, sys
from neuralcodec.cli import main

for line in sys.stdin:
    arguments, folder = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600), number)
        sys.argv = ["neuralcodec", *arguments]
        code = 0
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else error.code is not None
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@cache
def _server() -> subprocess.Popen[str]:
    running = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(running.kill)
    return running


def neuralcodec(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Exit code and output of a command."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    words = [str(each) for each in arguments]
    with tempfile.TemporaryDirectory() as folder:
        server.stdin.write(json.dumps([words, folder]) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out, err = (Path(folder, name).read_text(encoding="utf-8") for name in ("out", "err"))
    return subprocess.CompletedProcess(words, code, out, err)
