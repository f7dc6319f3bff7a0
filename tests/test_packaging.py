"""firmware_decoder in other people's build systems: CMake, Arduino, PlatformIO, Zephyr and ESP-IDF."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import neuralcodec
from neuralcodec.stream.reader import StreamReader

ROOT = Path(__file__).resolve().parents[1]
DECODER = ROOT / "firmware_decoder"
EXAMPLE = DECODER / "packaging" / "cmake"
LAYER = DECODER / "examples" / "layer"
TOOLCHAIN = DECODER / "cmake" / "arm-none-eabi.cmake"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def needs(*programs):
    missing = [p for p in programs if shutil.which(p) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def cmake(source, build, *options):
    run("cmake", "-S", source, "-B", build, *options)
    run("cmake", "--build", build, "-j", "2")
    return build


@pytest.fixture(scope="module")
def fc():
    """The model of the minimal example, which is that of the packaging examples."""
    stream = (DECODER / "examples" / "minimal" / "fc.ncd").read_bytes()
    reader = StreamReader(lambda offset, size: stream[offset : offset + size], len(stream))
    return neuralcodec.CompressedModel(reader, {entry.spec.name: entry for entry in reader.entries}, {})


@pytest.fixture(scope="module")
def y(fc):
    """What every example prints."""
    x = [i * 7 % 31 - 15 for i in range(40)]
    rows = fc.levels("fc.weight")[0].tolist()
    return "y=" + " ".join(str(sum(w * v for w, v in zip(row, x, strict=True))) for row in rows) + "\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cmake")
    prefix = folder / "prefix"
    cmake(
        DECODER, folder / "build", f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DNCD_WERROR=ON", "-DCMAKE_INSTALL_LIBDIR=lib"
    )
    run("cmake", "--install", folder / "build")
    return prefix


def test_the_layer_is_exported_anew(tmp_path, fc):
    for path in neuralcodec.export_c(fc, tmp_path / "fc.c"):
        assert path.read_text() == (LAYER / path.name).read_text()


@needs("cmake", "cc")
@pytest.mark.parametrize("way", ["package", "subdirectory", "fetch"])
def test_cmake(tmp_path, installed, y, way):
    cmake(EXAMPLE, tmp_path, f"-DNCD_FROM={way}", f"-DCMAKE_PREFIX_PATH={installed}")
    assert run(tmp_path / "layer") == y


@needs("cmake", "cc")
def test_cmake_installs_what_it_says(installed):
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert files == {
        "include/ncd.h", "include/ncd_config.h", "include/ncd_nn.h", "lib/libncd.a", "lib/libncd_nn.a",
        "lib/cmake/ncd/ncdConfig.cmake", "lib/cmake/ncd/ncdConfigVersion.cmake", "lib/cmake/ncd/ncdTargets.cmake",
        "lib/cmake/ncd/ncdTargets-release.cmake",
    }  # fmt: skip


@needs("cmake", "cc")
def test_cmake_definitions_reach_the_program(tmp_path, y):
    definitions = "NCD_ENABLE_KMEANS=0;NCD_ENABLE_TRELLIS=0;NCD_HUFFMAN_LOOKUP_BITS=9"
    library = cmake(DECODER, tmp_path / "library", f"-DNCD_DEFINITIONS={definitions}")
    run("cmake", "--install", library, "--prefix", tmp_path / "prefix")
    prefix = f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}"
    program = cmake(EXAMPLE, tmp_path / "program", prefix, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    commands = json.loads((program / "compile_commands.json").read_text())
    assert len(commands) == 4
    assert all(f"-D{macro}" in entry["command"] for entry in commands for macro in definitions.split(";"))
    assert run(program / "layer") == y


@needs("cmake", "arm-none-eabi-gcc")
@pytest.mark.parametrize("cpu", ["cortex-m0", "cortex-m33"])
def test_cmake_with_the_toolchain_file(tmp_path, cpu):
    toolchain = [f"-DCMAKE_TOOLCHAIN_FILE={TOOLCHAIN}", f"-DNCD_CPU={cpu}"]
    library = cmake(DECODER, tmp_path / "library", *toolchain, "-DNCD_WERROR=ON")
    run("cmake", "--install", library, "--prefix", tmp_path / "prefix")
    program = cmake(EXAMPLE, tmp_path / "program", *toolchain, f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}")
    attributes = run("arm-none-eabi-readelf", "-A", program / "layer")
    assert {"cortex-m0": "v6S-M", "cortex-m33": "v8-M.MAIN"}[cpu] in attributes.upper().replace("V", "v")
    assert "ncd_decode_tile_i8" in run("arm-none-eabi-nm", program / "layer")


@needs("cmake", "cc")
def test_cmake_with_cmsis_nn(tmp_path):
    stand_in = ROOT / "tests" / "firmware" / "cmsis_nn"
    (tmp_path / "main.c").write_text(
        '#include "cmsis_nn.h"\n'
        "int main(void) { ncd_nn_linear_s8 l = {0}; l.weights.plain = &l; l.weights.rows = l.weights.cols = 3;\n"
        "    return ncd_cmsis_linear_scratch(&l, 0) != 24; }\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(app C)\n"
        f"add_library(cmsis-nn STATIC {stand_in}/stand_in.c)\n"
        f"target_include_directories(cmsis-nn PUBLIC {stand_in})\n"
        f"add_subdirectory({DECODER} ncd)\nadd_executable(app main.c)\n"
        "target_link_libraries(app ncd::ncd_cmsis_nn)\n"
    )
    cmake(tmp_path, tmp_path / "build", "-DNCD_WERROR=ON")
    run(tmp_path / "build" / "app")


@needs("cc")
def test_a_config_file_of_ones_own_wins(tmp_path):
    (tmp_path / "ncd_config.h").write_text('#define MINE 1\n#include "%s"\n' % (DECODER / "include" / "ncd_config.h"))
    (tmp_path / "test.c").write_text('#include "ncd.h"\nint mine = MINE;\n')
    run("cc", "-c", f"-I{tmp_path}", f"-I{DECODER / 'include'}", tmp_path / "test.c", "-o", tmp_path / "test.o")


# ---- Arduino ----

ARDUINO_H = """
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
struct Port {
    void begin(long) {}
    void print(const char *text) { printf("%s", text); }
    void print(long number) { printf("%ld", number); }
    void println(const char *text) { printf("%s\\n", text); }
    void println(int number) { printf("%d\\n", number); }
};
static Port Serial;
static inline void delay(unsigned long) { exit(0); }
"""


def test_files_for_arduino_are_complete():
    made = {
        path.name: path.read_text() for path in [*(DECODER / "src").glob("ncd*.h"), *(DECODER / "src/nn").iterdir()]
    }
    wanted = [*DECODER.glob("include/*.h"), *DECODER.glob("nn/include/*.h"), *DECODER.glob("nn/src/*.c")]
    assert sorted(made) == sorted(path.name for path in wanted), "run firmware_decoder/packaging/forward.sh"
    for path in wanted:
        up = "../" if path.suffix == ".h" else "../../"
        assert f'#include "{up}{path.relative_to(DECODER)}"\n' in made[path.name]


def arduino_build(folder, c, cxx, flags):
    """Compiles library and sketch as Arduino's builder does: src/ recursively, C as gnu11, one include path."""
    (folder / "Arduino.h").write_text(ARDUINO_H)
    sketch = folder / "sketch"
    shutil.copytree(LAYER, sketch)
    program = (sketch / "layer.ino").read_text()
    (sketch / "layer.ino.cpp").write_text(f"#include <Arduino.h>\nvoid setup();\nvoid loop();\n{program}")
    (sketch / "main.cpp").write_text("void setup();\nvoid loop();\nint main() { setup(); for (;;) loop(); }\n")
    objects = []
    for source in [*(DECODER / "src").rglob("*.c"), *sketch.glob("*.c"), *sketch.glob("*.cpp")]:
        compiler = [c, "-std=gnu11"] if source.suffix == ".c" else [cxx, "-std=gnu++17", "-fno-exceptions"]
        made = folder / f"{len(objects)}.o"
        paths = [f"-I{DECODER / 'src'}", f"-I{sketch}", f"-I{folder}"]
        run(*compiler, "-Os", *WARNINGS, *flags, *paths, "-c", source, "-o", made)
        objects.append(made)
    return objects


@needs("cc", "c++")
def test_arduino_sketch_on_a_host(tmp_path, y):
    objects = arduino_build(tmp_path, "cc", "c++", [])
    run("c++", *objects, "-o", tmp_path / "sketch.elf")
    assert run(tmp_path / "sketch.elf") == y


@needs("arm-none-eabi-gcc", "arm-none-eabi-g++")
def test_arduino_sketch_for_a_microcontroller(tmp_path):
    flags = ["-mcpu=cortex-m0plus", "-mthumb", "-ffunction-sections", "-fdata-sections"]
    objects = arduino_build(tmp_path, "arm-none-eabi-gcc", "arm-none-eabi-g++", flags)
    elf = tmp_path / "sketch.elf"
    link = ["--specs=nano.specs", "--specs=nosys.specs", "-Wl,--gc-sections"]
    run("arm-none-eabi-gcc", *flags[:2], *objects, *link, "-o", elf)  # no C++ library is needed
    assert "ncd_decode_tile_i8" in run("arm-none-eabi-nm", elf)


def properties():
    lines = (DECODER / "library.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_arduino_manifest():
    given = properties()
    assert set(given) == {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url",
                          "architectures", "includes"}  # fmt: skip
    assert given["category"] == "Data Processing"  # one of those that the specification lists
    assert "avr" not in given["architectures"].split(",")  # 16-bit int, and constants apart from data
    assert all((DECODER / "src" / name).exists() for name in given["includes"].split(","))


def test_versions_are_the_same_everywhere():
    given = {
        "library.properties": properties()["version"],
        "library.json": json.loads((DECODER / "library.json").read_text())["version"],
        "idf_component.yml": re.search(r'^version: "(.*)"$', (DECODER / "idf_component.yml").read_text(), re.M)[1],
        "CMakeLists.txt": re.search(r"project\(ncd VERSION (\S+)", (DECODER / "CMakeLists.txt").read_text())[1],
    }
    assert set(given.values()) == {neuralcodec.__version__}, given


def test_platformio_manifest():
    given = json.loads((DECODER / "library.json").read_text())
    assert all((DECODER / "src" / name).exists() for name in given["headers"])
    assert all((DECODER / path).exists() for path in given["export"]["include"])
    (example,) = given["examples"]
    assert sorted(example["files"]) == sorted(path.name for path in (DECODER / example["base"]).iterdir())
    # Without build.srcDir and build.includeDir PlatformIO compiles src/ recursively and has src/ and include/ on its
    # path, which is what Arduino's tests above do.
    assert set(given["build"]) == {"flags"}
    settings = (DECODER / "packaging" / "platformio" / "platformio.ini").read_text()
    assert "lib_deps = symlink://../..\n" in settings
    assert "src_dir = ../../examples/layer\n" in settings


# ---- Zephyr and ESP-IDF: their options, and their CMake functions, which have stand-ins here ----


@pytest.fixture
def kconfig(monkeypatch):
    kconfiglib = pytest.importorskip("kconfiglib")

    def read(path, given=""):
        monkeypatch.setenv("srctree", str(path.parent))
        loaded = kconfiglib.Kconfig(path.name, warn_to_stderr=False)
        assert not loaded.warnings, loaded.warnings
        for line in given.splitlines():
            name, value = line.removeprefix("CONFIG_").split("=")
            assert loaded.syms[name].set_value(value), line
        return loaded

    return read


def as_cmake(loaded):
    """Sets what Zephyr and ESP-IDF set: booleans that are off are not set at all."""
    symbols = [s for s in loaded.unique_defined_syms if s.config_string and not s.config_string.startswith("#")]
    return "".join(f"set(CONFIG_{s.name} {s.str_value})\n" for s in symbols)


def macros():
    """The macros of ncd_config.h that can be set, with their defaults."""
    text = (DECODER / "include" / "ncd_config.h").read_text()
    return dict(re.findall(r"#ifndef (NCD_\w+)\n(?:#if .*\n)?#define \1 (\w+)", text))


NO_MACROS = ("NCD", "NCD_NN", "NCD_TRELLIS_FOUR_LANES")
"""Options of Kconfig that decide what is compiled, or other options."""


@pytest.mark.parametrize("path", ["Kconfig", "zephyr/Kconfig"])
def test_options_are_those_of_the_header(kconfig, path):
    loaded = kconfig(DECODER / path, "CONFIG_NCD=y" if path != "Kconfig" else "")
    found = {s.name: s.str_value for s in loaded.unique_defined_syms if s.name not in NO_MACROS}
    given = macros()
    assert len(given) == 24
    del given["NCD_MVE"]  # the target has it or not
    del given["NCD_TRELLIS_BYTE_LOADS"]  # so is this
    assert set(found) == set(given) | {"NCD_REFILL"}  # its default is by the target
    of_small_targets = given | {"NCD_FULL_CHECK": "0", "NCD_CRC_TABLE": "0", "NCD_ENABLE_GENERATIVE": "0"}
    values = {name: {"y": "1", "n": "0"}.get(value, value) for name, value in found.items() if name != "NCD_REFILL"}
    assert values == of_small_targets
    assert found["NCD_REFILL"] == "-1"


@needs("cmake")
def test_every_option_reaches_the_definitions(tmp_path, kconfig):
    """Each at its default, and changed alone: as long as no #error of the decoder says that there is no such value."""
    names = [s.name for s in kconfig(DECODER / "Kconfig").unique_defined_syms]
    others = {"NCD_REFILL": "0", "NCD_TRELLIS_INDEX_LOG2": "8", "NCD_HUFFMAN_LOOKUP_BITS": "12", "NCD_MAX_PLANES": "4"}
    (tmp_path / "main.c").write_text('#include "internal.h"\n')
    for name in [None, *names]:
        loaded = kconfig(DECODER / "Kconfig")
        if name and name != "NCD_TRELLIS_LANES":  # which nobody sets
            before = loaded.syms[name].str_value
            assert loaded.syms[name].set_value(others.get(name) or {"y": "n", "n": "y"}[before])
            assert loaded.syms[name].str_value != before
        (tmp_path / "script.cmake").write_text(
            f"{as_cmake(loaded)}include({DECODER}/cmake/kconfig.cmake)\nncd_kconfig_definitions(all)\n"
            'foreach(each ${all})\nmessage(STATUS "${each}")\nendforeach()\n'
        )
        said = run("cmake", "-P", tmp_path / "script.cmake").replace("-- ", "").split()
        given = {s.name: s.str_value for s in loaded.unique_defined_syms if s.name not in NO_MACROS}
        wanted = {n: {"y": "1", "n": "0"}.get(v, v) for n, v in given.items() if v and (n, v) != ("NCD_REFILL", "-1")}
        assert dict(each.split("=") for each in said) == wanted, name
        if shutil.which("cc"):
            paths = [f"-I{DECODER / folder}" for folder in ("src", "include")]
            run("cc", *paths, *(f"-D{each}" for each in said), "-fsyntax-only", tmp_path / "main.c")


def build_with_stand_ins(folder, text):
    (folder / "CMakeLists.txt").write_text(text)
    commands = cmake(folder, folder / "build", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON") / "compile_commands.json"
    return {Path(entry["file"]).name: entry["command"] for entry in json.loads(commands.read_text())}


ZEPHYR = """
cmake_minimum_required(VERSION 3.20)
project(zephyr_like C)
add_library(zephyr_interface INTERFACE)
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${ARGN})
endfunction()
function(zephyr_compile_definitions)
  target_compile_definitions(zephyr_interface INTERFACE ${ARGN})
endfunction()
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC)
  target_link_libraries(${name} PUBLIC zephyr_interface)
endmacro()
function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
@CONFIG@
add_subdirectory(@DECODER@/zephyr ncd)
# find_package(Zephyr) of the example is this.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/Zephyr)
file(WRITE ${CMAKE_BINARY_DIR}/Zephyr/ZephyrConfig.cmake "add_executable(app)\\ntarget_link_libraries(app ncd)")
set(Zephyr_DIR ${CMAKE_BINARY_DIR}/Zephyr)
add_subdirectory(@DECODER@/packaging/zephyr app)
"""


@needs("cmake", "cc")
@pytest.mark.parametrize("layers", [False, True])
def test_zephyr_module(tmp_path, kconfig, y, layers):
    given = (DECODER / "packaging" / "zephyr" / "prj.conf").read_text()
    assert "CONFIG_NCD_NN=n\n" in given
    loaded = kconfig(DECODER / "zephyr" / "Kconfig", given.replace("NCD_NN=n", "NCD_NN=y") if layers else given)
    text = ZEPHYR.replace("@CONFIG@", as_cmake(loaded)).replace("@DECODER@", str(DECODER))
    commands = build_with_stand_ins(tmp_path, text)
    assert ("linear_s8.c" in commands) == layers
    for name in ("model.c", "layer.c"):
        assert "-DNCD_ENABLE_KMEANS=0" in commands[name]
        assert "-DNCD_ENABLE_HUFFMAN=1" in commands[name]
        assert "-DNCD_HUFFMAN_LOOKUP_BITS=8" in commands[name]
        assert "-DNCD_REFILL" not in commands[name]
    assert run(tmp_path / "build" / "app" / "app") == y


def test_zephyr_manifest():
    lines = (DECODER / "zephyr" / "module.yml").read_text().splitlines()
    assert lines == ["name: ncd", "build:", "  cmake: zephyr", "  kconfig: zephyr/Kconfig", "samples:",
                     "  - packaging/zephyr"]  # fmt: skip
    assert (DECODER / "zephyr" / "CMakeLists.txt").exists()
    sample = (DECODER / "packaging" / "zephyr" / "sample.yaml").read_text()
    pattern = re.search(r'- "(y=.*)"', sample)[1]
    assert re.fullmatch(pattern, "y=-12 234 85 92 -176 -67 -84 66 223 26 -18 -49")


ESP_IDF = """
cmake_minimum_required(VERSION 3.16)
project(idf_like C)
set(ESP_PLATFORM 1)
@CONFIG@
macro(idf_component_register)
  cmake_parse_arguments(component "" "" "SRCS;INCLUDE_DIRS;REQUIRES" ${ARGN})
  get_filename_component(COMPONENT_LIB ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  add_library(${COMPONENT_LIB} STATIC ${component_SRCS})
  target_include_directories(${COMPONENT_LIB} PUBLIC ${component_INCLUDE_DIRS})
  target_link_libraries(${COMPONENT_LIB} PUBLIC ${component_REQUIRES})
endmacro()
add_subdirectory(@DECODER@ ncd)
add_subdirectory(@DECODER@/packaging/esp_idf/main main)
add_executable(start start.c)
target_link_libraries(start main)
"""


@needs("cmake", "cc")
def test_esp_idf_component(tmp_path, kconfig, y):
    given = "CONFIG_NCD_ENABLE_TRELLIS=n\nCONFIG_NCD_REFILL=0\nCONFIG_NCD_HUFFMAN_LOOKUP_BITS=9"
    (tmp_path / "start.c").write_text("void app_main(void);\nint main(void) { app_main(); return 0; }\n")
    config = as_cmake(kconfig(DECODER / "Kconfig", given))
    commands = build_with_stand_ins(tmp_path, ESP_IDF.replace("@CONFIG@", config).replace("@DECODER@", str(DECODER)))
    assert {"model.c", "linear_s8.c"} <= set(commands)
    for name in ("model.c", "layer.c"):
        for macro in ("NCD_ENABLE_TRELLIS=0", "NCD_REFILL=0", "NCD_HUFFMAN_LOOKUP_BITS=9", "NCD_ENABLE_KMEANS=1"):
            assert f"-D{macro}" in commands[name]
    assert run(tmp_path / "build" / "start") == y


@needs("cmake")
def test_esp_idf_reads_requirements_in_a_script(tmp_path):
    # ESP-IDF first runs each component's file in a script, where only idf_component_register may be called.
    (tmp_path / "script.cmake").write_text(
        "set(ESP_PLATFORM 1)\nset(CMAKE_BUILD_EARLY_EXPANSION ON)\n"
        'macro(idf_component_register)\nmessage(STATUS "registered ${ARGN}")\nreturn()\nendmacro()\n'
        f"include({DECODER}/CMakeLists.txt)\n"
    )
    said = run("cmake", "-P", tmp_path / "script.cmake")
    assert "registered SRCS;" in said
    assert said.rstrip().endswith("INCLUDE_DIRS;include;nn/include")
