// The search of codec trellis for the levels that cost least: the Viterbi algorithm (docs/format.md, section 12).
//
// A path through the trellis carries its own running magnitude and sign class, so a rate is always that of the table which
// the decoder will have in hand (per-survivor processing, Raheli, Polydoros and Tzou 1995).
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "shaping.hpp"
#include "trellis.hpp"

namespace neuralcodec {

namespace {

// Rates of a table, and for each value the nearest of its class (mod 4, or any) that the table has.
struct Rates {
    const float *bits;
    std::vector<int16_t> nearest;

    static constexpr int16_t none = std::numeric_limits<int16_t>::min();

    Rates(const Context &c, const float *of, unsigned u, int largest) : bits(of), nearest(c.values(), none) {
        const int p = c.period(), n = static_cast<int>(c.values());
        const auto fits = [&](int i) {
            return bits[i] < never && std::abs(c.level_of(i - c.lo, i < c.lo)) <= largest &&
                   (p == 1 || (static_cast<unsigned>(i - c.lo) & 1) == u);
        };
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

// How errors of a row of weights count together.
struct Shaping {
    std::vector<Shape> shapes;    // by column
    float gain;                   // what is decoded, over levels
    bool down;                    // whether tiles go down the columns
    std::vector<size_t> columns;  // of the lines that are there, if they do
};

enum class Errors { alone, along_rows, down_columns };

// Of two ways into each state what belongs to the one that is taken.
NC_INLINE void choose(const float *__restrict ways, const uint8_t *__restrict decision, size_t states, float *__restrict of) {
    for (size_t to = 0; to < states; ++to) of[to] = decision[to] & 1 ? ways[states + to] : ways[to];
}

NC_CLONES void choose_many(const float *__restrict ways, const uint8_t *__restrict decision, size_t states,
                           float *__restrict of) {
    choose(ways, decision, states, of);
}

class Search {
public:
    // rows: of weights, if tiles go down the columns.
    Search(const Context &c, In3<float> rates, double lambda, int largest, const Shaping *shaping, size_t rows)
        : c_(c), lambda_(static_cast<float>(lambda)), largest_(largest), shaping_(shaping) {
        if (rates.shape(0) != c.quantizers || rates.shape(2) != c.values() || rates.shape(1) > most_tables)
            throw std::invalid_argument("rates: shape [quantizers, tables, values] expected");
        tables_ = rates.shape(1);
        for (unsigned u = 0; u < c.quantizers; ++u) {
            for (uint8_t t : c.map[u])
                if (t >= tables_) throw std::invalid_argument("rates: fewer tables than the map names");
            for (size_t t = 0; t < tables_; ++t)
                rates_.emplace_back(c, rates.data() + (u * tables_ + t) * c.values(), u, largest);
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
        if (shaping && shaping->down) row_sums_.emplace(rows);
        else if (shaping) sum_.resize(c.states), way_sum_.resize(2 * size_t{c.states});
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

    // The n weights from place `at` on of a matrix. With shaping its tiles come in their order.
    void tile(const float *xs, const float *importance, size_t at, size_t cols, size_t n, int16_t *out) {
        const float *const x = xs + at;
        importance = importance ? importance + at : nullptr;
        at_ = at, cols_ = cols;
        if (level_.size() < n * 4 * tables_) level_.resize(n * 4 * tables_);
        if (decision_.size() < n * c_.states) decision_.resize(n * c_.states);
        if (c_.quantizers == 1)
            greedy(x, importance, n, out);
        else if (!shaping_)
            viterbi<Errors::alone>(x, importance, n, out);
        else if (shaping_->down)
            viterbi<Errors::down_columns>(x, nullptr, n, out);
        else
            viterbi<Errors::along_rows>(x, nullptr, n, out);
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
        int32_t level;
    };
    std::vector<Way> way_;
    std::vector<int16_t> level_;
    std::vector<uint8_t> decision_;

    const Shaping *shaping_;  // or none
    size_t at_ = 0, cols_ = 1;  // where the tile is
    // Along the rows: sums of errors, of each survivor and of each way, and that of a row's part in the tiles before.
    std::vector<float> sum_, way_sum_;
    float carried_ = 0;
    // Down the columns: of the best survivor, and up to where in the tile its levels are likely to stay.
    std::optional<RowSums> row_sums_;
    size_t likely_ = 0;
    std::vector<int16_t> found_;

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
            if (std::abs(level) > largest_) level = c_.level_of(near, near < 0);
            value = near;
            extra = c_.open && c_.is_open(value) ? 4 : 0;
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
            way_[place] = Way{found.cost, note | static_cast<uint32_t>(t) << 24, found.level};
            level_[i * 4 * tables_ + place] = found.level;
        }
    }

    // Levels have 16 bits, and a neighbour of the nearest may be chosen. What is aimed at may lie beyond the largest level.
    float aim(float x, float aside) const {
        const auto most = static_cast<float>(largest_);
        const float within = std::min(std::max(x, -32752.0f), 32751.0f);
        return aside == 0 ? within : std::min(std::max(within - aside, -most), most);
    }

    // Whether a weight counts so little that level 0 may be worth a try where levels have raw bits, and are mostly far from it.
    static bool cheap(float x, float weight) { return weight * x * x < 32; }

    unsigned best() const { return static_cast<unsigned>(std::min_element(cost_.begin(), cost_.end()) - cost_.begin()); }

    // The levels on the path to a state, from the last one back to a place.
    void trace(unsigned s, size_t end, size_t first, int16_t *out) const {
        for (size_t i = end; i-- > first;) {
            const unsigned d = decision_[i * c_.states + s], way = ways_[d & 1][s], p = way >> 1;
            out[i] = level_[(i * 2 + (p & 1)) * 2 * tables_ + (d >> 1) * 2 + (way & 1)];
            s = p;
        }
    }

    template <Errors errors>
    void viterbi(const float *xs, const float *importance, size_t n, int16_t *out) {
        constexpr bool along = errors == Errors::along_rows, down = errors == Errors::down_columns;
        const unsigned states = c_.states;
        std::fill(cost_.begin(), cost_.end(), 1e30f);
        cost_[0] = 0;
        std::fill(note_.begin(), note_.end(), c_.start | static_cast<uint32_t>(c_.first_sign()) << 16);
        const unsigned shift = c_.shift, row = 64 * c_.signs, kept = c_.automaton.empty() ? ~0u : 0;
        const uint8_t *const table_of = table_of_.data();
        float *const way_cost = way_cost_.data();
        uint32_t *const way_note = way_note_.data();
        const uint32_t *const place_of = place_of_.data();
        size_t line = at_ / cols_, place = at_ % cols_;
        if (along) std::fill(sum_.begin(), sum_.end(), place ? carried_ : 0.0f);
        likely_ = 0;
        const size_t apart = between_looks();
        size_t since = 0;
        constexpr float far = 3;
        size_t lead = 0;  // a survivor that is, or nearly is, the best: its sum is what levels are first chosen for
        for (size_t i = 0; i < n; ++i) {
            float weight = importance ? importance[i] : 1, aside = 0;
            const Shape *const shape = errors == Errors::alone ? nullptr
                                                               : &shaping_->shapes[down ? shaping_->columns[line] : place];
            if (shape) {
                weight = shape->weight;
                aside = shape->of_sum * (down ? row_sums_->now[place] : sum_[lead]);
            }
            const float x = aim(xs[i], aside), led = along ? sum_[lead] : 0;
            uint64_t known[2] = {};  // of each quantizer, the tables whose best levels have been found
            const bool nearest = c_.raw_bits && !(importance && cheap(x, weight));
            gather(candidates_, x, weight, least_plain_, most_plain_, nearest ? -1 : 0);
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
                for (unsigned subset = 0; subset < 2; ++subset) {
                    const uint32_t to = place_of[2 * s + subset];
                    way_cost[to] = cost[s] + way[subset].cost;
                    way_note[to] = ((a - (a >> 3)) & kept) + way[subset].note;
                    if (along) {
                        // Levels are the best ones for the best survivor's sum; each survivor pays for what they do to its own.
                        const auto level = static_cast<float>(way[subset].level);
                        const float by = shape->of_sum * sum_[s] - aside;
                        way_cost[to] += weight * by * (2 * (level - x) + by);
                        way_sum_[to] = sum_[s] + error_of(way[subset].level, xs[i]);
                    }
                }
            }
            uint8_t *const decision = &decision_[i * states];
            if (states == 8)
                survive(way_cost, way_note, 8, cost_.data(), note_.data(), decision);
            else if (states == 4)
                survive(way_cost, way_note, 4, cost_.data(), note_.data(), decision);
            else
                survive_many(way_cost, way_note, states, cost_.data(), note_.data(), decision);
            if (along) {
                if (states == 8)
                    choose(way_sum_.data(), decision, 8, sum_.data());
                else
                    choose_many(way_sum_.data(), decision, states, sum_.data());
                if (place + 1 == cols_) std::fill(sum_.begin(), sum_.end(), 0.0f);
                const uint32_t to0 = place_of[2 * lead] & (states - 1), to1 = place_of[2 * lead + 1] & (states - 1);
                lead = cost_[to1] < cost_[to0] ? to1 : to0;
                // One that had to make a large error leads no more: all others would have to follow its sum.
                if (i % 16 == 15 || std::abs(sum_[lead] - led) > far) lead = best();
            }
            if (++place == cols_) place = 0, ++line;
            if (down && ++since == apart) since = 0, look_back(xs, i + 1);
            if ((i & 255) == 255) {
                const float least = *std::min_element(cost_.begin(), cost_.end());
                for (float &each : cost_) each -= least;
            }
        }
        trace(best(), n, 0, out);
        if (along) carried_ = sum_[best()];
        if (down) end_tile(xs, n, out);
    }

    // So many weights apart the levels so far are looked at: where a row's next weight follows soon, more often.
    size_t between_looks() const { return std::min(std::max(cols_ / 2, size_t{4}), size_t{16}); }

    // Sums of rows as the best survivor has them. So many weights back all survivors have most likely the same path.
    void look_back(const float *xs, size_t end) {
        size_t merged = 48;
        for (unsigned states = c_.states; states > 4; states /= 2) merged += 24;
        found_.resize(std::max(found_.size(), end));
        trace(best(), end, likely_, found_.data());
        RowSums &sums = *row_sums_;
        each_row(likely_, end, [&](size_t, size_t row) { sums.now[row] = sums.likely[row]; });
        each_row(likely_, end, [&](size_t i, size_t row) {
            const float error = error_of(found_[i], xs[i]);
            sums.now[row] += error;
            if (i + merged < end) sums.likely[row] += error, likely_ = i + 1;
        });
    }

    // Sums of rows with the levels that it came to.
    void end_tile(const float *xs, size_t n, const int16_t *levels) {
        RowSums &sums = *row_sums_;
        each_row(0, n, [&](size_t i, size_t row) { sums.before[row] += error_of(levels[i], xs[i]); });
        each_row(0, n, [&](size_t, size_t row) { sums.now[row] = sums.likely[row] = sums.before[row]; });
    }

    // f(i, row) for weights of the tile, down the columns.
    template <typename F>
    void each_row(size_t first, size_t end, F &&f) const {
        for (size_t i = first, row = (at_ + first) % cols_; i < end; ++i) {
            f(i, row);
            if (++row == cols_) row = 0;
        }
    }
    float error_of(int level, float x) const { return shaping_->gain * static_cast<float>(level) - x; }

    // One state: the decision at a weight weighs its own rate only.
    void greedy(const float *xs, const float *importance, size_t n, int16_t *out) {
        unsigned a = c_.start, sign = c_.first_sign();
        size_t line = at_ / cols_, place = at_ % cols_;
        float sum = place ? carried_ : 0;
        const bool down = shaping_ && shaping_->down;
        for (size_t i = 0; i < n; ++i) {
            float weight = importance ? importance[i] : 1, aside = 0;
            if (shaping_) {
                const Shape &shape = shaping_->shapes[down ? shaping_->columns[line] : place];
                weight = shape.weight;
                aside = shape.of_sum * (down ? row_sums_->now[place] : sum);
            }
            const float x = aim(xs[i], aside);
            const Rates &r = rates_[c_.map[0][c_.cell(a, sign)]];
            Best found{std::numeric_limits<float>::max(), 0, 0};
            const int below = static_cast<int>(std::floor(x));
            consider(found, r, x, weight, below);
            consider(found, r, x, weight, below + 1);
            if ((!c_.raw_bits || (importance && cheap(x, weight))) && (below > 0 || below < -1)) {
                consider(found, r, x, weight, below > 0 ? below - 1 : below + 2);
                consider(found, r, x, weight, 0);
            }
            out[i] = found.level;
            a = c_.moved(a, found.value);
            sign = c_.sign_class[static_cast<size_t>(found.value + c_.lo)];
            if (shaping_) {
                sum += error_of(found.level, xs[i]);
                if (down) row_sums_->now[place] += error_of(found.level, xs[i]);
            }
            if (++place == cols_) place = 0, ++line, sum = 0;
        }
        carried_ = sum;
    }
};

// What the squared sum of a row's errors counts, the gain, and whether tiles go down the columns.
using ShapingArguments = std::tuple<double, double, bool>;

Shaping shaping_of(const ShapingArguments &of, size_t rows, size_t cols, const Coded &coded) {
    const auto [together, gain, down] = of;
    if (!(together >= 0 && together < 1e6 && gain > 0 && gain < 1e6))
        throw std::invalid_argument("shaping: a number is out of its range");
    Shaping made{{}, static_cast<float>(gain), down, {}};
    const size_t lines = coded ? coded->shape(0) : rows;
    for (size_t i = 0; down && i < lines; ++i)
        if (!coded || coded->data()[i]) made.columns.push_back(i);
    made.shapes = shapes(down ? lines : cols, together);
    return made;
}

Out2<int16_t> quantize(const Context &c, In2<float> x, size_t tile, In3<float> rates, double lambda,
                       std::optional<In2<float>> importance, int largest, const Coded &coded,
                       const std::optional<ShapingArguments> &shaping) {
    if (largest < 4) throw std::invalid_argument("largest: at least 4 expected");
    if (importance && (importance->shape(0) != x.shape(0) || importance->shape(1) != x.shape(1)))
        throw std::invalid_argument("importance: the shape of the weights expected");
    if (importance && shaping) throw std::invalid_argument("shaping: none expected with importance");
    const size_t rows = x.shape(0), cols = x.shape(1);
    Buffer<int16_t> out(rows * cols);
    {
        nb::gil_scoped_release release;
        std::optional<Shaping> made;
        if (shaping) made = shaping_of(*shaping, rows, cols, coded);
        Search search(c, rates, lambda, largest, made ? &*made : nullptr, cols);
        for_each_coded_tile(rows, cols, tile, coded, [&](size_t at, size_t n) {
            search.tile(x.data(), importance ? importance->data() : nullptr, at, cols, n, out.get() + at);
        });
    }
    return out.matrix(rows, cols);
}

}  // namespace

void bind_trellis_search(nb::module_ &m) {
    m.def("trellis_quantize", &quantize, nb::arg("context"), nb::arg("weights"), nb::arg("tile"), nb::arg("rates"),
          nb::arg("lagrangian"), nb::arg("importance") = nb::none(), nb::arg("largest") = 32767, nb::arg("coded") = nb::none(),
          nb::arg("shaping") = nb::none());
}

}  // namespace neuralcodec
