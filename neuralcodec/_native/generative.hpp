// What coding levels with the model of codec generative and tuning its prior share (docs/format.md, section 15).
#pragma once

#include <algorithm>
#include <vector>

#include "common.hpp"

extern "C" {
#include "generative.h"
}

namespace neuralcodec {

// Writes what the decoder's coder reads.
struct GenerativeEncoder {
    std::vector<uint8_t> bytes;
    uint32_t low = 0, high = 0xFFFFFFFFu;

    uint32_t code(uint32_t p, uint32_t bit) {
        const uint32_t range = high - low;
        const uint32_t middle = low + (range >> 16) * p + ((range & 0xFFFFu) * p >> 16);
        if (bit)
            high = middle;
        else
            low = middle + 1;
        while (((low ^ high) >> 24) == 0) {
            bytes.push_back(static_cast<uint8_t>(high >> 24));
            low <<= 8;
            high = high << 8 | 255u;
        }
        return bit;
    }

    // The fewest bytes that lie in the interval with zeros behind them.
    void finish() {
        for (unsigned kept = 0; kept <= 4; ++kept) {
            const uint32_t below = kept == 4 ? 0 : 0xFFFFFFFFu >> (8 * kept);
            const uint64_t value = (uint64_t{low} + below) & ~uint64_t{below};
            if (value > high) continue;
            for (unsigned b = 0; b < kept; ++b) bytes.push_back(static_cast<uint8_t>(value >> (24 - 8 * b)));
            break;
        }
        while (!bytes.empty() && bytes.back() == 0) bytes.pop_back();
        low = 0;
        high = 0xFFFFFFFFu;
    }
};

// The head of a payload. Throws std::invalid_argument where a field is out of its range.
ncd_generative_head generative_head(unsigned states_log2, uint32_t kernel, unsigned rates, unsigned start);

// A model with room for the columns of a tile.
class GenerativeState {
public:
    explicit GenerativeState(size_t columns) : memory_((sizeof(ncd_generative_model) + 2 * columns + 7) / 4) {
        ncd_generative_tables(model());
    }
    ncd_generative_model *model() { return reinterpret_cast<ncd_generative_model *>(memory_.data()); }

private:
    std::vector<uint32_t> memory_;
};

// Calls f(first, count, columns, first column) for each tile of a matrix.
template <typename F>
void for_each_generative_tile(size_t rows, size_t cols, size_t tile, F &&f) {
    for_each_tile(rows, cols, tile, [&](size_t at, size_t n) {
        const bool whole = cols <= tile;
        f(at, n, static_cast<uint32_t>(whole ? cols : n), static_cast<uint32_t>(whole ? 0 : at % cols));
    });
}

}  // namespace neuralcodec
