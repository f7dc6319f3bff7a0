// Weights to levels: search for the step that loses least, and the rounding itself.
//
// Everything is IEEE arithmetic in an order that the source fixes, so a tensor gives the same levels on every machine.
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "common.hpp"

namespace neuralcodec {

namespace {

// 2^(-j/8) to f32, docs/format.md 6.1.
constexpr uint32_t eighths[8] = {0x3F800000, 0x3F6AC0C7, 0x3F5744FD, 0x3F45672A,
                                 0x3F3504F3, 0x3F25FED7, 0x3F1837F0, 0x3F0B95C2};

// 1.5 * 2^23: after adding it the unit of the sum is 1, so the addition itself rounds to the nearest integer, ties to
// even, for |x| < 2^22; the integer is then in the low bits.
constexpr float magic = 12582912.0f;

constexpr size_t block = 4096;  // of a long sum: f32 lanes inside, f64 between

}  // namespace

float row_scale(float step, unsigned code) {
    float p;
    std::memcpy(&p, &eighths[code & 7], sizeof p);
    return step * p * std::ldexp(1.0f, -static_cast<int>(code >> 3));
}

// Sums over at most `block` weights, in units of scale squared: [0] of all errors, [1] of the errors from clipping
// alone.
NC_CLONES void block_errors(const float *w, size_t n, float scale, float most, double out[2]) {
    float all[lanes] = {}, clipped[lanes] = {};
    size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (size_t j = 0; j < lanes; ++j) {
            const float x = w[i + j] / scale;
            float c = x < most ? x : most;
            c = c > -most ? c : -most;
            const float level = (c + magic) - magic;
            const float e = x - level, d = x - c;
            all[j] += e * e;
            clipped[j] += d * d;
        }
    for (size_t j = 0; i + j < n; ++j) {
        const float x = w[i + j] / scale;
        float c = x < most ? x : most;
        c = c > -most ? c : -most;
        const float level = (c + magic) - magic;
        const float e = x - level, d = x - c;
        all[j] += e * e;
        clipped[j] += d * d;
    }
    double a = 0, c = 0;
    for (size_t j = 0; j < lanes; ++j) {
        a += static_cast<double>(all[j]);
        c += static_cast<double>(clipped[j]);
    }
    out[0] = a;
    out[1] = c;
}

NC_CLONES void quantize_run(const float *w, size_t n, float scale, float most, int8_t *out) {
    for (size_t i = 0; i < n; ++i) {
        const float x = w[i] / scale;
        float c = x < most ? x : most;
        c = c > -most ? c : -most;
        const float shifted = c + magic;
        int32_t bits;
        std::memcpy(&bits, &shifted, sizeof bits);
        out[i] = static_cast<int8_t>(bits);
    }
}

// Errors of levels in units of the scale, and their sum.
NC_CLONES double errors_of(const float *w, size_t n, float scale, const int8_t *levels, float *out) {
    double sum = 0;
    for (size_t i = 0; i < n; i += block) {
        const size_t end = i + block < n ? i + block : n;
        float part[lanes] = {};
        size_t k = i;
        for (; k + lanes <= end; k += lanes)
            for (size_t j = 0; j < lanes; ++j) {
                out[k + j] = static_cast<float>(levels[k + j]) - w[k + j] / scale;
                part[j] += out[k + j];
            }
        for (size_t j = 0; k + j < end; ++j) {
            out[k + j] = static_cast<float>(levels[k + j]) - w[k + j] / scale;
            part[j] += out[k + j];
        }
        for (size_t j = 0; j < lanes; ++j) sum += static_cast<double>(part[j]);
    }
    return sum;
}

NC_CLONES float largest_magnitude(const float *w, size_t n) {
    int32_t top = 0;
    for (size_t i = 0; i < n; ++i) {
        int32_t bits;
        std::memcpy(&bits, &w[i], sizeof bits);
        bits &= 0x7FFFFFFF;
        top = bits > top ? bits : top;
    }
    float largest;
    std::memcpy(&largest, &top, sizeof largest);
    return largest;
}

NC_CLONES void multiply_run(const int8_t *levels, size_t n, float scale, float *out) {
    for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(levels[i]) * scale;
}

namespace {

struct Error {
    double all, clipped;
};

// Squared error of weights quantized at a scale.
Error error_at(const float *w, size_t n, float scale, int q) {
    double all = 0, clipped = 0;
    for (size_t i = 0; i < n; i += block) {
        double part[2];
        block_errors(w + i, n - i < block ? n - i : block, scale, static_cast<float>(q), part);
        all += part[0];
        clipped += part[1];
    }
    const double unit = static_cast<double>(scale) * static_cast<double>(scale);
    return {all * unit, clipped * unit};
}

// Most levels whose weight does not overflow the tensor's dtype: `limit` is its largest number.
int levels_within(float scale, int q, float limit) {
    while (q > 0 && static_cast<float>(q) * scale > limit) --q;
    return q;
}

// Largest code up to `last` at which q levels still reach `largest`.
unsigned first_code(float step, float largest, int q, unsigned last) {
    // Two logarithms of powers of two bring it within an octave or two; comparisons do the rest exactly.
    const int octaves = std::ilogb(step) + std::ilogb(static_cast<float>(q)) - std::ilogb(largest) - 1;
    unsigned k = octaves <= 0 ? 0u : static_cast<unsigned>(octaves) * 8u;
    if (k > last) k = last;
    const float reach = static_cast<float>(q);
    while (k > 0 && !(reach * row_scale(step, k) >= largest)) --k;
    while (k < last && reach * row_scale(step, k + 1) >= largest) ++k;
    return k;
}

// From the code at which nothing is clipped to finer ones. Errors need not be unimodal (one far outlier is enough), so
// the walk stops only where it is certain: clipping alone costs more than the best, and it grows with the code.
unsigned best_code(const float *w, size_t n, float step, unsigned first, unsigned last, int q) {
    unsigned best = first;
    double least = std::numeric_limits<double>::infinity();
    for (unsigned k = first; k <= last; ++k) {
        const float scale = row_scale(step, k);
        if (!(scale > 0)) break;
        const Error e = error_at(w, n, scale, q);
        if (e.all < least) {
            least = e.all;
            best = k;
        }
        if (e.clipped >= least) break;
    }
    return best;
}

void check_levels(int q) {
    if (q < 1 || q > 127) throw std::invalid_argument("levels: 1 to 127 expected");
}

void check_step(float step) {
    if (!(step > 0) || std::isinf(step)) throw std::invalid_argument("step: positive and finite expected");
}

float fit_step(In<float> weights, int q, float finest) {
    check_levels(q);
    nb::gil_scoped_release release;
    const float *w = weights.data();
    const size_t n = weights.size();
    const float largest = largest_magnitude(w, n);
    if (std::isnan(largest) || std::isinf(largest)) throw std::invalid_argument("finite weights expected");
    const float start = largest / static_cast<float>(q);
    if (!(start > finest)) return finest > 0 ? finest : largest > 0 ? std::numeric_limits<float>::denorm_min() : 1.0f;
    float best = start;
    double least = std::numeric_limits<double>::infinity();
    auto attempt = [&](float scale) {
        if (!(scale > 0) || scale < finest || std::isinf(scale)) return false;
        const Error e = error_at(w, n, scale, q);
        if (e.all < least) {
            least = e.all;
            best = scale;
        }
        return e.clipped < least;
    };
    // Down by eighths of an octave, to 2^-32 as a row's codes could.
    for (unsigned k = 0; k < 256; ++k)
        if (!attempt(row_scale(start, k))) break;
    attempt(finest);
    // Then halve the distance to either side of the best: 2^(+-1/16), 2^(+-1/32), 2^(+-1/64).
    constexpr float up[3] = {1.0442737824f, 1.0218971487f, 1.0108892861f};
    constexpr float down[3] = {0.9576032807f, 0.9785720621f, 0.9892280132f};
    for (size_t i = 0; i < 3; ++i) {
        const float centre = best;
        attempt(centre * up[i]);
        attempt(centre * down[i]);
    }
    return best;
}

Out1<uint8_t> fit_rows(In2<float> weights, int q, float step, unsigned last) {
    check_levels(q);
    check_step(step);
    if (last > 255) throw std::invalid_argument("last: at most 255 expected");
    const size_t rows = weights.shape(0), cols = weights.shape(1);
    Buffer<uint8_t> out(rows);
    {
        nb::gil_scoped_release release;
        const float *w = weights.data();
        std::vector<size_t> empty;
        unsigned least = last;
        for (size_t r = 0; r < rows; ++r) {
            const float *row = w + r * cols;
            const float largest = largest_magnitude(row, cols);
            if (std::isnan(largest) || std::isinf(largest)) throw std::invalid_argument("finite weights expected");
            if (!(largest > 0)) {
                empty.push_back(r);
                continue;
            }
            const unsigned code = best_code(row, cols, step, first_code(step, largest, q, last), last, q);
            out.get()[r] = static_cast<uint8_t>(code);
            least = code < least ? code : least;
        }
        // A row of zeros is right at any scale: it takes the one that widens no field.
        for (size_t r : empty) out.get()[r] = static_cast<uint8_t>(least);
    }
    return out.array();
}

// Takes some levels of a row a step further, those next to their weights first, until e'e + together * (sum of e)^2 is least.
class Canceller {
public:
    Canceller(double together, size_t cols) : together_(together), errors_(cols) {}

    void row(const float *w, float scale, int q, int8_t *levels) {
        const double sum = errors_of(w, errors_.size(), scale, levels, errors_.data());
        const int by = sum > 0 ? -1 : 1;
        double left = std::fabs(sum);
        // A step costs 1 - 2|e|, no less than 0 where a level is the nearest one, and saves together * (2 * left - 1).
        if (!(together_ * (2 * left - 1) > 0) || std::isinf(left)) return;
        found_.clear();
        for (size_t i = 0; i < errors_.size(); ++i) {
            const float cost = 1 + 2 * static_cast<float>(by) * errors_[i];
            // Weights that are 0, as pruned ones are, stay so.
            if (static_cast<double>(cost) < together_ * (2 * left - 1) && std::abs(levels[i] + by) <= q && w[i] != 0)
                found_.push_back({cost, i});
        }
        const size_t most = std::min(found_.size(), static_cast<size_t>(left) + 1);
        std::partial_sort(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(most), found_.end());
        for (size_t k = 0; k < most && static_cast<double>(found_[k].first) < together_ * (2 * left - 1); ++k, left -= 1)
            levels[found_[k].second] = static_cast<int8_t>(levels[found_[k].second] + by);
    }

private:
    double together_;
    std::vector<float> errors_;
    std::vector<std::pair<float, size_t>> found_;
};

using Codes = std::optional<In1<uint8_t>>;

const uint8_t *checked(const Codes &codes, size_t rows) {
    if (codes && codes->size() != rows) throw std::invalid_argument("codes: one for each row expected");
    return codes ? codes->data() : nullptr;
}

Out2<int8_t> quantize(In2<float> weights, int q, float step, Codes codes, float limit, double together) {
    check_levels(q);
    check_step(step);
    if (!(together >= 0 && together < 1e6)) throw std::invalid_argument("together: a number of at least 0 expected");
    const size_t rows = weights.shape(0), cols = weights.shape(1);
    const uint8_t *k = checked(codes, rows);
    Buffer<int8_t> out(rows * cols);
    {
        nb::gil_scoped_release release;
        Canceller canceller(together, together > 0 ? cols : 0);
        for (size_t r = 0; r < rows; ++r) {
            const float *const w = weights.data() + r * cols;
            const float scale = k ? row_scale(step, k[r]) : step;
            int8_t *const levels = out.get() + r * cols;
            if (scale > 0) {
                const int most = levels_within(scale, q, limit);
                quantize_run(w, cols, scale, static_cast<float>(most), levels);
                if (together > 0) canceller.row(w, scale, most, levels);
            } else {
                std::memset(levels, 0, cols);
            }
        }
    }
    return out.matrix(rows, cols);
}

Out2<float> dequantize(In2<int8_t> levels, float step, Codes codes) {
    const size_t rows = levels.shape(0), cols = levels.shape(1);
    const uint8_t *k = checked(codes, rows);
    Buffer<float> out(rows * cols);
    {
        nb::gil_scoped_release release;
        for (size_t r = 0; r < rows; ++r)
            multiply_run(levels.data() + r * cols, cols, k ? row_scale(step, k[r]) : step, out.get() + r * cols);
    }
    return out.matrix(rows, cols);
}

}  // namespace

void bind_quantize(nb::module_ &m) {
    m.def("row_scale", [](float step, unsigned code) {
        if (code > 255) throw std::invalid_argument("code: at most 255 expected");
        return row_scale(step, code);
    }, nb::arg("step"), nb::arg("code"));
    m.def("fit_step", &fit_step, nb::arg("weights"), nb::arg("levels"), nb::arg("finest") = 0.0f);
    m.def("fit_rows", &fit_rows, nb::arg("weights"), nb::arg("levels"), nb::arg("step"), nb::arg("last") = 255u);
    m.def("quantize", &quantize, nb::arg("weights"), nb::arg("levels"), nb::arg("step"),
          nb::arg("codes") = nb::none(), nb::arg("limit") = std::numeric_limits<float>::max(),
          nb::arg("together") = 0.0);
    m.def("dequantize", &dequantize, nb::arg("levels"), nb::arg("step"), nb::arg("codes") = nb::none());
}

}  // namespace neuralcodec
