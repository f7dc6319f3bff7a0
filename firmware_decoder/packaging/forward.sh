#!/bin/sh
# Makes the files below src/ that Arduino's build needs, which compiles src/ alone and has it as the only include path:
# each includes a header or a source of the layers. Run it when nn/src has a new file.
set -e
cd "$(dirname "$0")/.."
rm -rf src/nn
mkdir -p src/nn
for header in include/*.h nn/include/*.h; do
    printf '/* For Arduino; see packaging/forward.sh. */\n#include "../%s"\n' "$header" > "src/$(basename "$header")"
done
for source in nn/src/*.c; do
    printf '/* For Arduino; see packaging/forward.sh. */\n#include "../../%s"\n' "$source" > "src/nn/$(basename "$source")"
done
