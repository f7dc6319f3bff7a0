// What picks the quantizers and tables of codec trellis, and the order in which its encoder goes through a matrix.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "common.hpp"

extern "C" {
#include "quantizer.h"
}

namespace neuralcodec {

constexpr float never = 1e9f;  // bits of a symbol that a table does not have
constexpr size_t most_tables = 64;

template <typename T>
using In3 = nb::ndarray<const T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

// What picks quantizers and tables.
struct Context {
    unsigned states, quantizers;
    const uint8_t *polynomials = nullptr;
    int lo, hi;
    unsigned raw_bits;
    bool open;
    unsigned cap, shift, start, classes, signs;
    std::array<uint8_t, 64> bins{};          // by bits of the running magnitude: its class
    std::vector<uint8_t> sign_class;         // by value + lo
    std::vector<uint16_t> magnitude;         // by value + lo: what a value adds to the running magnitude
    std::array<std::vector<uint8_t>, 2> map; // by cell: its table
    // By state of the automaton and value + lo: the next state. Where there is one its state stands in place of the running
    // magnitude, and is the number of the table.
    std::vector<std::vector<uint8_t>> automaton;

    Context(unsigned states_log2, int low, int high, unsigned raw, bool open_ends, unsigned cap_, unsigned start_bin,
            const std::vector<unsigned> &magnitudes, const std::vector<unsigned> &sign_thresholds,
            const std::vector<std::vector<unsigned>> &maps,
            const std::vector<std::pair<std::vector<int>, std::vector<unsigned>>> &rules)
        : states(1u << states_log2), quantizers(ncd_quantizer_count(states_log2)), lo(low), hi(high), raw_bits(raw),
          open(open_ends), cap(cap_), shift(0), start(0), classes(static_cast<unsigned>(magnitudes.size()) + 1),
          signs(2 * static_cast<unsigned>(sign_thresholds.size()) + 1) {
        if (states_log2 == 1 || states_log2 > 8 || low < 0 || low > 255 || high < 0 || high > 255 || raw > 12 || !cap ||
            cap > 127 || start_bin > 63 || maps.size() != quantizers || low + high < (quantizers == 2 ? 3 : 0))
            throw std::invalid_argument("context: a field is out of its range");
        polynomials = ncd_quantizer_polynomials(states_log2);
        while ((128 * cap + 7) >> shift > 63) ++shift;
        start = start_bin << shift;
        if (!rules.empty()) {
            if (rules.size() > 8 || start_bin >= rules.size() || !magnitudes.empty() || !sign_thresholds.empty())
                throw std::invalid_argument("context: an automaton of 1 to 8 states and no classes expected");
            classes = static_cast<unsigned>(rules.size());
            shift = 0;
            start = start_bin;
            for (const auto &[thresholds, following] : rules) {
                std::vector<uint8_t> next;
                for (int v = -lo; v <= hi; ++v) {
                    const auto j = std::count_if(thresholds.begin(), thresholds.end(), [&](int t) { return t <= v; });
                    const unsigned to = following.at(static_cast<size_t>(j));
                    if (to >= classes) throw std::invalid_argument("context: a state that the automaton does not have");
                    next.push_back(static_cast<uint8_t>(to));
                }
                automaton.push_back(std::move(next));
            }
        }
        for (unsigned i = 0; i < 64; ++i) {
            const auto met = std::count_if(magnitudes.begin(), magnitudes.end(), [&](unsigned t) { return t <= i; });
            bins[i] = static_cast<uint8_t>(automaton.empty() ? met : std::min(i, classes - 1));
        }
        for (int v = -lo; v <= hi; ++v) {
            const unsigned size = static_cast<unsigned>(std::abs(v));
            const auto above = std::count_if(sign_thresholds.begin(), sign_thresholds.end(), [&](unsigned t) { return t <= size; });
            const auto middle = static_cast<long>(sign_thresholds.size());
            sign_class.push_back(static_cast<uint8_t>(v < 0 ? middle - above : middle + above));
            magnitude.push_back(static_cast<uint16_t>(16 * std::min(size, cap)));
        }
        for (unsigned u = 0; u < quantizers; ++u) {
            if (maps[u].size() != classes * signs) throw std::invalid_argument("context: a map has another number of cells");
            for (unsigned t : maps[u]) {
                if (t >= most_tables) throw std::invalid_argument("context: at most 64 tables expected");
                if (!automaton.empty() && t != map[u].size())
                    throw std::invalid_argument("context: a table for each state of the automaton expected");
                map[u].push_back(static_cast<uint8_t>(t));
            }
        }
    }

    size_t values() const { return static_cast<size_t>(lo + hi + 1); }
    size_t cells() const { return size_t{classes} * signs; }
    uint8_t first_sign() const { return sign_class[static_cast<size_t>(lo)]; }
    unsigned cell(unsigned a, unsigned sign) const { return bins[a >> shift] * signs + sign; }
    unsigned next(unsigned a, int v) const { return automaton[a][static_cast<size_t>(v + lo)]; }
    unsigned moved(unsigned a, int v) const {
        return automaton.empty() ? a - (a >> 3) + magnitude[static_cast<size_t>(v + lo)] : next(a, v);
    }
    int period() const { return quantizers == 2 ? 4 : 1; }

    // Value of a symbol, of which a level is the sum of it, raw bits and what an open end adds.
    int value_of(int level) const {
        if (raw_bits) {
            const int p = period(), low = level & (p - 1);
            level = (level >> (quantizers == 2 ? 2 + raw_bits : raw_bits)) * p + low;
        }
        if (level > hi) level -= (level - hi + period() - 1) / period() * period();
        if (level < -lo) level += (-lo - level + period() - 1) / period() * period();
        return level;
    }
    // The level of a value with the least raw bits, or the most.
    int level_of(int value, bool most) const {
        const int p = period(), low = value & (p - 1);
        return (value - low) * (1 << raw_bits) + (most ? ((1 << raw_bits) - 1) * p : 0) + low;
    }
    // What an open end adds, in periods.
    int beyond(int level) const {
        if (raw_bits) {
            const int p = period(), low = level & (p - 1);
            level = (level >> (quantizers == 2 ? 2 + raw_bits : raw_bits)) * p + low;
        }
        const int out = level > hi ? level - hi : level < -lo ? -lo - level : 0;
        return (out + period() - 1) / period();
    }
    // Bits of what an open end adds: how many there are in 4, then these.
    static unsigned length_of(unsigned periods) {
        unsigned length = 0;
        while ((periods + 1) >> (length + 1)) ++length;
        return length;
    }
    bool is_open(int value) const {
        const int reach = quantizers == 2 ? 3 : 0;
        return open && (value >= hi - reach || value <= reach - lo);
    }
    unsigned subset(int value, unsigned u) const { return ncd_quantizer_subset(value, u); }
    unsigned after(unsigned s, unsigned x) const { return ncd_quantizer_next(polynomials, s, x); }
};

using Coded = std::optional<In1<bool>>;

// As for_each_tile of a matrix of which only some rows are there, one behind the other. coded: which of all.
template <typename F>
void for_each_coded_tile(size_t rows, size_t cols, size_t tile, const Coded &coded, F &&f) {
    if (!coded) return for_each_tile(rows, cols, tile, f);
    const bool *const is = coded->data();
    const size_t all = coded->shape(0);
    if (static_cast<size_t>(std::count(is, is + all, true)) != rows)
        throw std::invalid_argument("coded: as many rows as there are expected");
    size_t at = 0;
    for_each_tile(all, cols, tile, [&](size_t first, size_t n) {
        const size_t row = first / cols, end = cols <= tile ? (first + n) / cols : row + 1;
        const size_t length = cols <= tile ? cols : n;
        const size_t size = static_cast<size_t>(std::count(is + row, is + end, true)) * length;
        f(at, size);
        at += size;
    });
}

// Walks the symbols of a tile as a decoder does: f(i, quantizer, cell, value).
template <typename F>
bool walk(const Context &c, const int16_t *levels, size_t n, F &&f) {
    unsigned s = 0, a = c.start, sign = c.first_sign();
    for (size_t i = 0; i < n; ++i) {
        const int v = c.value_of(levels[i]);
        const unsigned u = s & 1;
        if (c.quantizers == 2 && (static_cast<unsigned>(v) & 1) != u) return false;
        f(i, u, c.cell(a, sign), v);
        a = c.moved(a, v);
        sign = c.sign_class[static_cast<size_t>(v + c.lo)];
        if (c.quantizers == 2) s = c.after(s, c.subset(v, u));
    }
    return true;
}

}  // namespace neuralcodec
