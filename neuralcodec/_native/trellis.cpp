// The encoder of codec trellis: Viterbi search, counting, clustering of contexts, packing (docs/format.md, section 12).
//
// A path through the trellis carries its own running magnitude and sign class, so a rate is always that of the table which
// the decoder will have in hand (per-survivor processing, Raheli, Polydoros and Tzou 1995).
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "common.hpp"

extern "C" {
#include "quantizer.h"
}

namespace neuralcodec {

namespace {

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

// Rates of a table, and for each value the nearest of its class (mod 4, or any) that the table has.
struct Rates {
    const float *bits;
    std::vector<int16_t> nearest;

    static constexpr int16_t none = std::numeric_limits<int16_t>::min();

    Rates(const Context &c, const float *of, unsigned u) : bits(of), nearest(c.values(), none) {
        const int p = c.period(), n = static_cast<int>(c.values());
        const auto fits = [&](int i) { return bits[i] < never && (p == 1 || (static_cast<unsigned>(i - c.lo) & 1) == u); };
        for (int i = 0; i < n; ++i) {
            if (p == 4 && (static_cast<unsigned>(i - c.lo) & 1) != u) continue;
            for (int by = 0; by < n && nearest[static_cast<size_t>(i)] == none; by += p) {
                // Towards zero first: a table that lacks a value lacks those further out.
                const int in = i > c.lo ? i - by : i + by, out = i > c.lo ? i + by : i - by;
                if (in >= 0 && in < n && fits(in)) nearest[static_cast<size_t>(i)] = static_cast<int16_t>(in - c.lo);
                else if (out >= 0 && out < n && fits(out)) nearest[static_cast<size_t>(i)] = static_cast<int16_t>(out - c.lo);
            }
        }
    }
};

struct Best {
    float cost;
    int16_t level;
    int16_t value;
};

// A step of survivors: of the two ways into each state the cheaper one. costs, notes: of the first way into each state, then of
// the second into each. Notes go with a way, their top byte into the decision.
NC_INLINE void survive(const float *__restrict costs, const uint32_t *__restrict notes, size_t states, float *__restrict cost,
                       uint32_t *__restrict note, uint8_t *__restrict decision) {
    for (size_t to = 0; to < states; ++to) {
        const float a = costs[to], b = costs[states + to];
        const uint32_t later = b < a, first = notes[to];  // no branches, as nothing would foretell them
        const uint32_t of = first ^ ((first ^ notes[states + to]) & (0u - later));
        cost[to] = b < a ? b : a;
        note[to] = of & 0xFFFFFF;
        decision[to] = static_cast<uint8_t>(of >> 24 << 1 | later);
    }
}

// The same for any number of states, in vectors, which few do not fill.
NC_CLONES void survive_many(const float *__restrict costs, const uint32_t *__restrict notes, size_t states,
                            float *__restrict cost, uint32_t *__restrict note, uint8_t *__restrict decision) {
    survive(costs, notes, states, cost, note, decision);
}

class Search {
public:
    Search(const Context &c, In3<float> rates, double lambda, int largest)
        : c_(c), lambda_(static_cast<float>(lambda)), largest_(largest) {
        if (rates.shape(0) != c.quantizers || rates.shape(2) != c.values() || rates.shape(1) > most_tables)
            throw std::invalid_argument("rates: shape [quantizers, tables, values] expected");
        tables_ = rates.shape(1);
        for (unsigned u = 0; u < c.quantizers; ++u) {
            for (uint8_t t : c.map[u])
                if (t >= tables_) throw std::invalid_argument("rates: fewer tables than the map names");
            for (size_t t = 0; t < tables_; ++t)
                rates_.emplace_back(c, rates.data() + (u * tables_ + t) * c.values(), u);
        }
        // The two states that lead to each state, and the subsets they take.
        std::vector<unsigned> found(c.states, 0);
        for (std::vector<uint32_t> &ways : ways_) ways.resize(c.states);
        for (unsigned s = 0; s < c.states && c.quantizers == 2; ++s)
            for (unsigned x = 0; x < 2; ++x) {
                const unsigned to = c.after(s, x);
                const unsigned k = found[to]++;
                ways_[k][to] = 2 * s + x;
                place_of_.push_back(k * c.states + to);
            }
        cost_.resize(c.states), note_.resize(c.states);
        way_cost_.resize(2 * size_t{c.states}), way_note_.resize(2 * size_t{c.states});
        way_.resize(4 * tables_);
        table_of_.resize(size_t{64} * c.signs * c.quantizers);
        for (unsigned u = 0; u < c.quantizers; ++u)
            for (unsigned sign = 0; sign < c.signs; ++sign)
                for (unsigned bin = 0; bin < 64; ++bin)
                    table_of_[(u * c.signs + sign) * 64 + bin] = c.map[u][c.bins[bin] * c.signs + sign];
        for (int v = -c.lo; v <= c.hi; ++v) {
            const auto at = static_cast<size_t>(v + c.lo);
            note_of_.push_back(c.magnitude[at] | static_cast<uint32_t>(c.sign_class[at]) << 16);
        }
        // Levels that are values, neither open nor beyond, of which nothing needs to be asked.
        const int reach = c.open ? c.quantizers == 2 ? 4 : 1 : 0;
        least_plain_ = std::max(reach - c.lo, -largest), most_plain_ = std::min(c.hi - reach, largest);
        if (c.raw_bits) most_plain_ = least_plain_ - 1;
    }

    void tile(const float *x, const float *importance, size_t n, int16_t *out) {
        if (level_.size() < n * 4 * tables_) level_.resize(n * 4 * tables_);
        if (decision_.size() < n * c_.states) decision_.resize(n * c_.states);
        if (c_.quantizers == 1)
            greedy(x, importance, n, out);
        else
            viterbi(x, importance, n, out);
    }

private:
    const Context &c_;
    float lambda_;
    int largest_;
    size_t tables_ = 0;
    std::vector<Rates> rates_;
    std::array<std::vector<uint32_t>, 2> ways_;  // into each state: twice the state before, and the subset
    std::vector<uint32_t> place_of_;             // of a way, by twice its state before and the subset, among the ways
    std::vector<float> cost_, way_cost_;
    std::vector<uint32_t> note_, way_note_;  // of a survivor: bits 0-15 running magnitude, 16-23 sign class, 24-31 table
    std::vector<uint32_t> note_of_;          // by value + lo: what it adds to the magnitude, and its sign class
    std::vector<uint8_t> table_of_;          // by quantizer, sign class and bits of the running magnitude
    int least_plain_ = 0, most_plain_ = 0;
    // Levels worth a try for the weight at hand, with their distortion: the first, second, third and fourth of each quantizer
    // and subset, at 2 * quantizer + subset. Where there are fewer, the first one stands in the places left.
    struct Candidates {
        int32_t level[4][4];
        float distortion[4][4];
        int32_t count[4];
        bool plain;  // all are levels of which nothing needs to be asked
    };
    Candidates candidates_{};
    // The best level of each subset with each table, at place (quantizer * tables + table) * 2 + subset: for the weight at
    // hand its cost and what it makes of a note, for all weights of a tile the level.
    struct Way {
        float cost;
        uint32_t note;
    };
    std::vector<Way> way_;
    std::vector<int16_t> level_;
    std::vector<uint8_t> decision_;

    void consider(Best &best, const Rates &r, float x, float weight, int level) const {
        if (std::abs(level) > largest_) return;
        int value = c_.value_of(level), periods = 0;
        float extra = 0;
        if (c_.open && c_.is_open(value)) {
            periods = c_.beyond(level);
            if (periods > 0xFFFE) return;
            extra = static_cast<float>(4 + c_.length_of(static_cast<unsigned>(periods)));
        } else if (c_.beyond(level)) {
            level = clamped(level);
            value = c_.value_of(level);
        }
        float bits = r.bits[value + c_.lo];
        if (!(bits < never)) {
            const int near = r.nearest[static_cast<size_t>(value + c_.lo)];
            if (near == Rates::none) return;
            level = c_.level_of(near, near < value);
            value = near;
            extra = c_.open && c_.is_open(value) ? 4 : 0;
            if (std::abs(level) > largest_) return;
            bits = r.bits[value + c_.lo];
        }
        const float d = x - static_cast<float>(level);
        const float cost = weight * (d * d) + lambda_ * (bits + extra);
        if (cost < best.cost) best = Best{cost, static_cast<int16_t>(level), static_cast<int16_t>(value)};
    }

    // The nearest level of the same class without an open end.
    int clamped(int level) const {
        const int p = c_.period(), unit = p << c_.raw_bits;
        return level > 0 ? level - c_.beyond(level) * unit : level + c_.beyond(level) * unit;
    }

    // Finds the candidates: the two around the weight, the next one inwards, and the one nearest to 0.
    NC_CLONES static void gather(Candidates &c, float x, float weight, int32_t least, int32_t most, int32_t raw) {
        static constexpr int32_t residue[4] = {0, 2, 3, 1}, above_zero[4] = {0, 2, -1, 1}, below_zero[4] = {0, -2, -1, 1};
        int32_t beyond[4];
        for (unsigned i = 0; i < 4; ++i) {
            const float in_fours = (x - static_cast<float>(residue[i])) * 0.25f;
            const auto towards_zero = static_cast<int32_t>(in_fours);
            const int32_t down = towards_zero - (static_cast<float>(towards_zero) > in_fours);
            const int32_t below = residue[i] + 4 * down;
            const int32_t near = below > 0 ? above_zero[i] : below_zero[i], inwards = below > 0 ? below - 4 : below + 8;
            const int32_t three = ((below > 0) | (below < -4)) & ~raw, four = ((below > 4) | (below < -8)) & ~raw;
            c.level[0][i] = below;
            c.level[1][i] = below + 4;
            c.level[2][i] = four ? inwards : three ? near : below;
            c.level[3][i] = four ? near : below;
            c.count[i] = 2 + three + four;
        }
        for (unsigned i = 0; i < 4; ++i) beyond[i] = 0;
        for (unsigned k = 0; k < 4; ++k)
            for (unsigned i = 0; i < 4; ++i) {
                beyond[i] |= (c.level[k][i] < least) | (c.level[k][i] > most);
                const float d = x - static_cast<float>(c.level[k][i]);
                c.distortion[k][i] = weight * (d * d);
            }
        c.plain = !(beyond[0] | beyond[1] | beyond[2] | beyond[3]);
    }

    // The best level of each subset of quantizer u with table t.
    NC_INLINE void need(unsigned u, size_t t, float x, float weight, size_t i) {
        const Candidates &c = candidates_;
        const Rates &r = rates_[u * tables_ + t];
        const float *const of = r.bits + c_.lo;
        for (unsigned s = 0; s < 2; ++s) {
            const unsigned at = 2 * u + s;
            Best found{std::numeric_limits<float>::max(), 0, 0};
            bool plain = c.plain;
            if (plain) {
                const float b0 = of[c.level[0][at]], b1 = of[c.level[1][at]], b2 = of[c.level[2][at]], b3 = of[c.level[3][at]];
                plain = std::max(std::max(b0, b1), std::max(b2, b3)) < never;
                const float k0 = c.distortion[0][at] + lambda_ * b0, k1 = c.distortion[1][at] + lambda_ * b1;
                const float k2 = c.distortion[2][at] + lambda_ * b2, k3 = c.distortion[3][at] + lambda_ * b3;
                // The first of the cheapest, without branches, as nothing would foretell them.
                const unsigned a = k1 < k0, b = 2 + (k3 < k2);
                const float cost_a = k1 < k0 ? k1 : k0, cost_b = k3 < k2 ? k3 : k2;
                const unsigned k = a ^ ((a ^ b) & (0u - static_cast<unsigned>(cost_b < cost_a)));
                const auto level = static_cast<int16_t>(c.level[k][at]);
                found = Best{cost_b < cost_a ? cost_b : cost_a, level, level};
            }
            if (!plain) {
                found = Best{std::numeric_limits<float>::max(), 0, 0};
                for (int k = 0; k < c.count[at]; ++k) consider(found, r, x, weight, c.level[k][at]);
            }
            const size_t place = (u * tables_ + t) * 2 + s;
            const uint32_t note = c_.automaton.empty() ? note_of_[static_cast<size_t>(found.value + c_.lo)]
                                                       : c_.next(static_cast<unsigned>(t), found.value);
            way_[place] = Way{found.cost, note | static_cast<uint32_t>(t) << 24};
            level_[i * 4 * tables_ + place] = found.level;
        }
    }

    // Levels have 16 bits, and a neighbour of the nearest may be chosen.
    static float within(float x) { return std::min(std::max(x, -32752.0f), 32751.0f); }

    void viterbi(const float *xs, const float *importance, size_t n, int16_t *out) {
        const unsigned states = c_.states;
        std::fill(cost_.begin(), cost_.end(), 1e30f);
        cost_[0] = 0;
        std::fill(note_.begin(), note_.end(), c_.start | static_cast<uint32_t>(c_.first_sign()) << 16);
        const unsigned shift = c_.shift, row = 64 * c_.signs, kept = c_.automaton.empty() ? ~0u : 0;
        const uint8_t *const table_of = table_of_.data();
        float *const way_cost = way_cost_.data();
        uint32_t *const way_note = way_note_.data();
        const uint32_t *const place_of = place_of_.data();
        for (size_t i = 0; i < n; ++i) {
            const float x = within(xs[i]), weight = importance ? importance[i] : 1;
            uint64_t known[2] = {};  // of each quantizer, the tables whose best levels have been found
            gather(candidates_, x, weight, least_plain_, most_plain_, c_.raw_bits ? -1 : 0);
            const uint32_t *const note = note_.data();
            const float *const cost = cost_.data();
            for (unsigned s = 0; s < states; ++s) {
                const unsigned u = s & 1, a = note[s] & 0xFFFF;
                const size_t t = table_of[u * row + (note[s] >> 16) * 64 + (a >> shift)];
                if (!(known[u] >> t & 1)) {
                    known[u] |= uint64_t{1} << t;
                    need(u, t, x, weight, i);
                }
                const Way *const way = &way_[(u * tables_ + t) * 2];
                const uint32_t to0 = place_of[2 * s], to1 = place_of[2 * s + 1];
                way_cost[to0] = cost[s] + way[0].cost;
                way_cost[to1] = cost[s] + way[1].cost;
                way_note[to0] = ((a - (a >> 3)) & kept) + way[0].note;
                way_note[to1] = ((a - (a >> 3)) & kept) + way[1].note;
            }
            if (states == 8)
                survive(way_cost, way_note, 8, cost_.data(), note_.data(), &decision_[i * states]);
            else if (states == 4)
                survive(way_cost, way_note, 4, cost_.data(), note_.data(), &decision_[i * states]);
            else
                survive_many(way_cost, way_note, states, cost_.data(), note_.data(), &decision_[i * states]);
            if ((i & 255) == 255) {
                const float least = *std::min_element(cost_.begin(), cost_.end());
                for (float &cost : cost_) cost -= least;
            }
        }
        unsigned s = static_cast<unsigned>(std::min_element(cost_.begin(), cost_.end()) - cost_.begin());
        for (size_t i = n; i-- > 0;) {
            const unsigned d = decision_[i * states + s], way = ways_[d & 1][s], p = way >> 1;
            out[i] = level_[(i * 2 + (p & 1)) * 2 * tables_ + (d >> 1) * 2 + (way & 1)];
            s = p;
        }
    }

    // One state: the decision at a weight weighs its own rate only.
    void greedy(const float *xs, const float *importance, size_t n, int16_t *out) {
        unsigned a = c_.start, sign = c_.first_sign();
        for (size_t i = 0; i < n; ++i) {
            const float x = within(xs[i]), weight = importance ? importance[i] : 1;
            const Rates &r = rates_[c_.map[0][c_.cell(a, sign)]];
            Best found{std::numeric_limits<float>::max(), 0, 0};
            const int below = static_cast<int>(std::floor(x));
            consider(found, r, x, weight, below);
            consider(found, r, x, weight, below + 1);
            if (!c_.raw_bits && (below > 0 || below < -1)) {
                consider(found, r, x, weight, below > 0 ? below - 1 : below + 2);
                consider(found, r, x, weight, 0);
            }
            out[i] = found.level;
            a = c_.moved(a, found.value);
            sign = c_.sign_class[static_cast<size_t>(found.value + c_.lo)];
        }
    }
};

Out2<int16_t> quantize(const Context &c, In2<float> x, size_t tile, In3<float> rates, double lambda,
                       std::optional<In2<float>> importance, int largest, const Coded &coded) {
    if (largest < 4) throw std::invalid_argument("largest: at least 4 expected");
    if (importance && (importance->shape(0) != x.shape(0) || importance->shape(1) != x.shape(1)))
        throw std::invalid_argument("importance: the shape of the weights expected");
    const size_t rows = x.shape(0), cols = x.shape(1);
    Buffer<int16_t> out(rows * cols);
    {
        nb::gil_scoped_release release;
        Search search(c, rates, lambda, largest);
        for_each_coded_tile(rows, cols, tile, coded, [&](size_t at, size_t n) {
            search.tile(x.data() + at, importance ? importance->data() + at : nullptr, n, out.get() + at);
        });
    }
    return out.matrix(rows, cols);
}

nb::object count(const Context &c, In2<int16_t> levels, size_t tile, const Coded &coded) {
    const size_t values = c.values(), cells = c.cells();
    Buffer<int64_t> out(c.quantizers * cells * values);
    std::fill(out.get(), out.get() + out.size, 0);
    bool good = true;
    {
        nb::gil_scoped_release release;
        for_each_coded_tile(levels.shape(0), levels.shape(1), tile, coded, [&](size_t at, size_t n) {
            good &= walk(c, levels.data() + at, n, [&](size_t, unsigned u, unsigned cell, int v) {
                ++out.get()[(u * cells + cell) * values + static_cast<size_t>(v + c.lo)];
            });
        });
    }
    if (!good) throw std::invalid_argument("levels: not a path of the trellis");
    int64_t *p = out.data.get();
    return nb::cast(nb::ndarray<nb::numpy, int64_t, nb::ndim<3>, nb::c_contig>(p, {c.quantizers, cells, values}, out.owner()));
}

// Bits of all that open ends add.
uint64_t open_bits(const Context &c, In2<int16_t> levels, size_t tile, const Coded &coded) {
    if (!c.open) return 0;
    uint64_t bits = 0;
    nb::gil_scoped_release release;
    for_each_coded_tile(levels.shape(0), levels.shape(1), tile, coded, [&](size_t at, size_t n) {
        uint64_t of_tile = 0;
        bool escapes = false;
        for (size_t i = at; i < at + n; ++i) {
            if (!c.is_open(c.value_of(levels.data()[i]))) continue;
            const auto periods = static_cast<unsigned>(c.beyond(levels.data()[i]));
            escapes |= periods > 0;
            of_tile += 4 + c.length_of(periods);
        }
        if (escapes) bits += of_tile;
    });
    return bits;
}

// All tiles, one after the other, and the bytes of each tile. frequencies: shape [quantizers, tables, values].
nb::tuple pack(const Context &c, In2<int16_t> levels, size_t tile, In3<uint32_t> frequencies, unsigned m, const Coded &coded) {
    const size_t values = c.values(), tables = frequencies.shape(1);
    if (m < 8 || m > 12 || frequencies.shape(0) != c.quantizers || frequencies.shape(2) != values)
        throw std::invalid_argument("frequencies: shape [quantizers, tables, values] and m from 8 to 12 expected");
    std::vector<uint32_t> before(c.quantizers * tables * values);
    for (size_t t = 0; t < c.quantizers * tables; ++t) {
        uint32_t sum = 0;
        for (size_t i = 0; i < values; ++i) {
            before[t * values + i] = sum;
            sum += frequencies.data()[t * values + i];
        }
        if (sum != 0 && sum != 1u << m) throw std::invalid_argument("frequencies: a sum of 2^m expected");
    }
    for (unsigned u = 0; u < c.quantizers; ++u)
        for (uint8_t t : c.map[u])
            if (t >= tables) throw std::invalid_argument("frequencies: fewer tables than the map names");
    Bytes out;
    std::vector<uint32_t> sizes;
    bool good = true;
    {
        nb::gil_scoped_release release;
        struct Symbol {
            uint32_t frequency, before;
        };
        std::vector<Symbol> symbols;
        std::vector<uint16_t> words;  // from the last one on
        for_each_coded_tile(levels.shape(0), levels.shape(1), tile, coded, [&](size_t at, size_t n) {
            const int16_t *const level = levels.data() + at;
            symbols.resize(n);
            words.clear();
            bool escapes = false;
            good &= walk(c, level, n, [&](size_t i, unsigned u, unsigned cell, int v) {
                const size_t place = (u * tables + c.map[u][cell]) * values + static_cast<size_t>(v + c.lo);
                symbols[i] = Symbol{frequencies.data()[place], before[place]};
                good &= symbols[i].frequency != 0;
                const int out_by = c.beyond(level[i]);
                escapes |= out_by > 0;
                good &= out_by == 0 || (c.open && out_by <= 0xFFFE);
            });
            if (!good) return;
            uint32_t x = 0;
            const auto put = [&](uint32_t frequency, uint32_t start, unsigned bits) {
                // The decoder's state after this symbol must stay below 2^32 before it.
                if (static_cast<uint64_t>(x) >= static_cast<uint64_t>(frequency) << (32 - bits)) {
                    words.push_back(static_cast<uint16_t>(x));
                    x >>= 16;
                }
                x = (x / frequency << bits) + x % frequency + start;
            };
            if (escapes)
                for (size_t i = n; i-- > 0;) {
                    if (!c.is_open(c.value_of(level[i]))) continue;
                    const uint32_t t = static_cast<uint32_t>(c.beyond(level[i])) + 1;
                    const unsigned length = c.length_of(t - 1);
                    if (length) put(1, t - (1u << length), length);
                    put(1, length, 4);
                }
            for (size_t i = n; i-- > 0;) {
                if (c.raw_bits) {
                    const unsigned low = c.quantizers == 2 ? 2 : 0;
                    put(1, static_cast<uint32_t>(level[i]) >> low & ((1u << c.raw_bits) - 1), c.raw_bits);
                }
                put(symbols[i].frequency, symbols[i].before, m);
            }
            for (; x; x >>= 16) words.push_back(static_cast<uint16_t>(x));
            uint8_t *p = out.reserve(2 * words.size());
            for (size_t i = words.size(); i-- > 0;) {
                *p++ = static_cast<uint8_t>(words[i]);
                *p++ = static_cast<uint8_t>(words[i] >> 8);
            }
            out.advance(2 * words.size());
            sizes.push_back(static_cast<uint32_t>(2 * words.size()));
        });
    }
    if (!good) throw std::invalid_argument("levels: a symbol that its table does not have, or not a path of the trellis");
    Buffer<uint32_t> array(sizes.size());
    std::copy(sizes.begin(), sizes.end(), array.get());
    return nb::make_tuple(out.bytes(), array.array());
}

// The same with prefix codes. lengths: shape [quantizers, values], 0 for values without a code.
nb::tuple pack_codes(const Context &c, In2<int16_t> levels, size_t tile, In2<uint8_t> lengths, const Coded &coded) {
    constexpr unsigned longest = 8;
    const size_t values = c.values();
    if (lengths.shape(0) != c.quantizers || lengths.shape(1) != values || c.raw_bits || c.open)
        throw std::invalid_argument("lengths: shape [quantizers, values] and closed ends without raw bits expected");
    struct Code {
        uint8_t bits, length;  // first bit lowest
    };
    std::vector<Code> codes(c.quantizers * values);
    for (size_t u = 0; u < c.quantizers; ++u) {
        unsigned next = 0;
        for (unsigned length = 1; length <= longest; ++length) {
            for (size_t v = 0; v < values; ++v) {
                if (lengths(u, v) > longest) throw std::invalid_argument("lengths: at most 8 bits expected");
                if (lengths(u, v) != length) continue;
                unsigned bits = 0;
                for (unsigned i = 0; i < length; ++i) bits |= (next >> (longest - 1 - i) & 1) << i;
                codes[u * values + v] = Code{static_cast<uint8_t>(bits), static_cast<uint8_t>(length)};
                next += 1u << (longest - length);
            }
        }
        if (next != 1u << longest) throw std::invalid_argument("lengths: a complete code expected");
    }
    Bytes out;
    std::vector<uint32_t> sizes;
    bool good = true;
    {
        nb::gil_scoped_release release;
        for_each_coded_tile(levels.shape(0), levels.shape(1), tile, coded, [&](size_t at, size_t n) {
            uint8_t *const first = out.reserve(n + 1), *p = first;
            uint32_t window = 0;
            unsigned held = 0;
            good &= walk(c, levels.data() + at, n, [&](size_t i, unsigned u, unsigned, int v) {
                const Code code = codes[u * values + static_cast<size_t>(v + c.lo)];
                good &= code.length != 0 && c.beyond(levels.data()[at + i]) == 0;
                window |= static_cast<uint32_t>(code.bits) << held;
                held += code.length;
                for (; held >= 8; held -= 8, window >>= 8) *p++ = static_cast<uint8_t>(window);
            });
            if (held) *p++ = static_cast<uint8_t>(window);
            const auto size = static_cast<size_t>(p - first);
            out.advance(size);
            sizes.push_back(static_cast<uint32_t>(size));
        });
    }
    if (!good) throw std::invalid_argument("levels: a symbol without a code, or not a path of the trellis");
    Buffer<uint32_t> array(sizes.size());
    std::copy(sizes.begin(), sizes.end(), array.get());
    return nb::make_tuple(out.bytes(), array.array());
}

// n log2(n) of a whole number of at least 1. Most are small and come again and again.
double times_log2(double n) {
    static const std::vector<double> known = [] {
        std::vector<double> of(4096);
        for (size_t i = 1; i < of.size(); ++i) of[i] = static_cast<double>(i) * log2_alike(static_cast<double>(i));
        return of;
    }();
    return n < static_cast<double>(known.size()) ? known[static_cast<size_t>(n)] : n * log2_alike(n);
}

// Bits of a histogram with a table of its own, and about those of the table.
double bits_of(const double *counts, size_t n, double fixed, double each) {
    double total = 0, sum = 0, used = 0;
    for (size_t i = 0; i < n; ++i) {
        if (!(counts[i] > 0)) continue;
        total += counts[i];
        sum += times_log2(counts[i]);
        used += 1;
    }
    return total > 0 ? times_log2(total) - sum + fixed + each * used : 0;
}

// Greedy agglomeration: the two groups whose union costs least become one, while there are more than `most` or it pays.
Out1<uint8_t> cluster(In2<int64_t> counts, size_t most, double fixed, double each) {
    const size_t cells = counts.shape(0), values = counts.shape(1);
    if (!most || most > most_tables || cells > 256) throw std::invalid_argument("cluster: 1 to 64 tables, up to 256 cells expected");
    Buffer<uint8_t> out(cells);
    {
        nb::gil_scoped_release release;
        struct Group {
            std::vector<double> counts;
            std::vector<size_t> cells;
            double bits;
        };
        std::vector<Group> groups;
        std::vector<size_t> empty;
        for (size_t i = 0; i < cells; ++i) {
            Group g{std::vector<double>(values), {i}, 0};
            bool any = false;
            for (size_t v = 0; v < values; ++v) {
                g.counts[v] = static_cast<double>(counts.data()[i * values + v]);
                any |= g.counts[v] > 0;
            }
            if (!any) {
                empty.push_back(i);
                continue;
            }
            g.bits = bits_of(g.counts.data(), values, fixed, each);
            groups.push_back(std::move(g));
        }
        std::vector<double> sum(values);
        const auto growth = [&](const Group &a, const Group &b) {
            for (size_t v = 0; v < values; ++v) sum[v] = a.counts[v] + b.counts[v];
            return bits_of(sum.data(), values, fixed, each) - a.bits - b.bits;
        };
        std::vector<std::vector<double>> by(groups.size());
        for (size_t i = 0; i < groups.size(); ++i)
            for (size_t j = 0; j < i; ++j) by[i].push_back(growth(groups[i], groups[j]));
        while (groups.size() > 1) {
            size_t a = 1, b = 0;
            for (size_t i = 1; i < groups.size(); ++i)
                for (size_t j = 0; j < i; ++j)
                    if (by[i][j] < by[a][b]) a = i, b = j;
            if (groups.size() <= most && by[a][b] >= 0) break;
            for (size_t v = 0; v < values; ++v) groups[b].counts[v] += groups[a].counts[v];
            groups[b].cells.insert(groups[b].cells.end(), groups[a].cells.begin(), groups[a].cells.end());
            groups[b].bits = bits_of(groups[b].counts.data(), values, fixed, each);
            groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(a));
            by.erase(by.begin() + static_cast<std::ptrdiff_t>(a));
            for (size_t i = a; i < by.size(); ++i) by[i].erase(by[i].begin() + static_cast<std::ptrdiff_t>(a));
            for (size_t i = 0; i < groups.size(); ++i)
                if (i != b) by[std::max(i, b)][std::min(i, b)] = growth(groups[i], groups[b]);
        }
        // Tables in the order of their first cells. A cell that never occurs takes that of the cell before.
        std::sort(groups.begin(), groups.end(), [](const Group &a, const Group &b) {
            return *std::min_element(a.cells.begin(), a.cells.end()) < *std::min_element(b.cells.begin(), b.cells.end());
        });
        std::fill(out.get(), out.get() + cells, uint8_t{255});
        for (size_t g = 0; g < groups.size(); ++g)
            for (size_t i : groups[g].cells) out.get()[i] = static_cast<uint8_t>(g);
        for (size_t i : empty) out.get()[i] = i ? out.get()[i - 1] : 0;
    }
    return out.array();
}

}  // namespace

void bind_trellis(nb::module_ &m) {
    nb::class_<Context>(m, "TrellisContext")
        .def(nb::init<unsigned, int, int, unsigned, bool, unsigned, unsigned, const std::vector<unsigned> &,
                      const std::vector<unsigned> &, const std::vector<std::vector<unsigned>> &,
                      const std::vector<std::pair<std::vector<int>, std::vector<unsigned>>> &>(),
             nb::arg("states_log2"), nb::arg("lo"), nb::arg("hi"), nb::arg("raw_bits"), nb::arg("open"), nb::arg("cap"),
             nb::arg("start"), nb::arg("magnitudes"), nb::arg("signs"), nb::arg("maps"), nb::arg("automaton"))
        .def_prop_ro("cells", &Context::cells)
        .def_prop_ro("values", &Context::values);
    m.def("trellis_quantize", &quantize, nb::arg("context"), nb::arg("weights"), nb::arg("tile"), nb::arg("rates"),
          nb::arg("lagrangian"), nb::arg("importance") = nb::none(), nb::arg("largest") = 32767, nb::arg("coded") = nb::none());
    m.def("trellis_count", &count, nb::arg("context"), nb::arg("levels"), nb::arg("tile"), nb::arg("coded") = nb::none());
    m.def("trellis_open_bits", &open_bits, nb::arg("context"), nb::arg("levels"), nb::arg("tile"),
          nb::arg("coded") = nb::none());
    m.def("trellis_pack", &pack, nb::arg("context"), nb::arg("levels"), nb::arg("tile"), nb::arg("frequencies"), nb::arg("m"),
          nb::arg("coded") = nb::none());
    m.def("trellis_pack_codes", &pack_codes, nb::arg("context"), nb::arg("levels"), nb::arg("tile"), nb::arg("lengths"),
          nb::arg("coded") = nb::none());
    m.def("trellis_cluster", &cluster, nb::arg("counts"), nb::arg("most"), nb::arg("fixed"), nb::arg("each"));
}

}  // namespace neuralcodec
