// Rows as sums of a few others: which rows to keep, and the factors of the sums.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "common.hpp"

namespace neuralcodec {

namespace {

NC_CLONES double dot(const float *a, const float *b, size_t n) {
    double sums[lanes] = {};
    size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (size_t k = 0; k < lanes; ++k) sums[k] += static_cast<double>(a[i + k]) * static_cast<double>(b[i + k]);
    double sum = 0;
    for (; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    for (size_t k = 0; k < lanes; ++k) sum += sums[k];
    return sum;
}

NC_CLONES void subtract(float *a, const float *b, float factor, size_t n) {
    for (size_t i = 0; i < n; ++i) a[i] -= factor * b[i];
}

// Gram and Schmidt with pivots (column-pivoted QR of the transpose): the row with the largest rest comes next. Gives the
// rows in order and, for each number of rows kept, what the rests of the others would take in bits at a noise.
std::pair<Out1<uint32_t>, Out1<double>> pivot_rows(In2<float> weights, size_t most, std::optional<In1<uint32_t>> given,
                                                   double noise) {
    const size_t rows = weights.shape(0), cols = weights.shape(1);
    const size_t count = std::min({most, rows, given ? given->size() : rows});
    Buffer<uint32_t> order(count);
    Buffer<double> bits(count + 1);
    std::vector<uint32_t> fixed;
    if (given) fixed.assign(given->data(), given->data() + count);
    for (uint32_t row : fixed)
        if (row >= rows) throw std::invalid_argument("order: rows of the matrix expected");
    {
        nb::gil_scoped_release release;
        std::vector<float> rest(weights.data(), weights.data() + rows * cols), direction(cols);
        std::vector<double> energy(rows), first(rows);
        std::vector<bool> kept(rows, false);
        for (size_t r = 0; r < rows; ++r) first[r] = energy[r] = dot(&rest[r * cols], &rest[r * cols], cols);
        for (size_t s = 0;; ++s) {
            double total = 0;
            for (size_t r = 0; r < rows; ++r)
                if (!kept[r])
                    total += static_cast<double>(cols) / 2 *
                             log2_alike(1.0 + energy[r] / (noise * static_cast<double>(std::max<size_t>(cols, 1))));
            bits.get()[s] = total;
            if (s == count) break;
            size_t best = rows;
            if (given)
                best = fixed[s];
            else
                for (size_t r = 0; r < rows; ++r)
                    if (!kept[r] && (best == rows || energy[r] > energy[best])) best = r;
            order.get()[s] = static_cast<uint32_t>(best);
            kept[best] = true;
            const double length = dot(&rest[best * cols], &rest[best * cols], cols);
            // What rounding leaves of a row that others span is no direction.
            if (length <= 1e-10 * first[best] || length <= 0) continue;
            const float scale = static_cast<float>(1 / std::sqrt(length));
            for (size_t c = 0; c < cols; ++c) direction[c] = rest[best * cols + c] * scale;
            for (size_t r = 0; r < rows; ++r) {
                if (kept[r]) continue;
                float *const row = &rest[r * cols];
                subtract(row, direction.data(), static_cast<float>(dot(row, direction.data(), cols)), cols);
                energy[r] = dot(row, row, cols);
            }
        }
    }
    return {order.array(), bits.array()};
}

NC_CLONES void subtract(double *a, const double *b, double factor, size_t n) {
    for (size_t i = 0; i < n; ++i) a[i] -= factor * b[i];
}

NC_CLONES void gains(const double *left, const double *inverse, double *gain, size_t n) {
    for (size_t i = 0; i < n; ++i) gain[i] = left[i] * left[i] * inverse[i];
}

// Orthogonal matching pursuit (Pati, Rezaiifar and Krishnaprasad 1993): the terms of each row, best first, and factors by
// least squares, for sums of at most so many terms as each of `terms` says, which ascend: a shorter sum begins a longer
// one. Terms that are not used have factor 0.
std::vector<std::pair<Out2<uint32_t>, Out2<double>>> match_rows(In2<float> weights, In2<float> stored,
                                                                const std::vector<size_t> &terms) {
    const size_t rows = weights.shape(0), cols = weights.shape(1), count = stored.shape(0);
    if (stored.shape(1) != cols || terms.empty() || terms[0] < 1 || terms.back() > std::min<size_t>(32, count) ||
        !std::is_sorted(terms.begin(), terms.end()))
        throw std::invalid_argument("stored, terms: as many columns, and 1 to 32 terms, ascending, expected");
    const size_t most = terms.back();
    std::vector<Buffer<uint32_t>> index;
    std::vector<Buffer<double>> factor;
    for (size_t each : terms) {
        index.emplace_back(rows * each);
        factor.emplace_back(rows * each);
    }
    {
        nb::gil_scoped_release release;
        std::vector<double> gram(count * count), with(count), left(count), gain(count), inverse(count), l(most * most),
            forward(most), found(most), direction(most * count);
        std::vector<uint32_t> chosen(most);
        for (size_t i = 0; i < count; ++i)
            for (size_t j = 0; j <= i; ++j)
                gram[i * count + j] = gram[j * count + i] = dot(stored.data() + i * cols, stored.data() + j * cols, cols);
        for (size_t r = 0; r < rows; ++r) {
            for (size_t i = 0; i < count; ++i) {
                with[i] = dot(weights.data() + r * cols, stored.data() + i * cols, cols);
                const double own = gram[i * count + i];
                inverse[i] = own > 0 ? 1 / own : 0;
            }
            left = with;  // of each stored row, its product with what the chosen leave of the row
            bool ended = false;
            size_t n = 0;  // of the triangle l, whose product with its transpose is what Gram's matrix says of the chosen
            auto give = [&](size_t which) {
                const size_t width = terms[which], used = std::min(n, width);
                for (size_t i = used; i-- > 0;) {
                    double sum = forward[i];
                    for (size_t k = i + 1; k < used; ++k) sum -= l[k * most + i] * found[k];
                    found[i] = sum / l[i * most + i];
                }
                for (size_t k = 0; k < width; ++k) {
                    index[which].get()[r * width + k] = k < used ? chosen[k] : 0;
                    factor[which].get()[r * width + k] = k < used ? found[k] : 0;
                }
            };
            for (size_t which = 0; which < terms.size(); ++which) {
                while (!ended && n < terms[which]) {
                    ended = true;  // unless a term is found
                    gains(left.data(), inverse.data(), gain.data(), count);
                    const size_t best = static_cast<size_t>(std::max_element(gain.begin(), gain.end()) - gain.begin());
                    if (!(gain[best] > 0)) break;
                    // The next direction: what the ones before leave of the best, as its product with each stored row.
                    double *const next = &direction[n * count];
                    std::copy_n(&gram[best * count], count, next);
                    for (size_t k = 0; k < n; ++k) {
                        l[n * most + k] = direction[k * count + best];
                        subtract(next, &direction[k * count], l[n * most + k], count);
                    }
                    const double rest = next[best];
                    if (!(rest > 1e-9 * gram[best * count + best])) break;
                    const double length = std::sqrt(rest);
                    l[n * most + n] = length;
                    for (size_t i = 0; i < count; ++i) next[i] /= length;
                    forward[n] = left[best] / length;
                    subtract(left.data(), next, forward[n], count);
                    inverse[best] = 0;
                    chosen[n++] = static_cast<uint32_t>(best);
                    ended = false;
                }
                give(which);
            }
        }
    }
    std::vector<std::pair<Out2<uint32_t>, Out2<double>>> out;
    for (size_t which = 0; which < terms.size(); ++which)
        out.emplace_back(index[which].matrix(rows, terms[which]), factor[which].matrix(rows, terms[which]));
    return out;
}

NC_CLONES void add_times(uint32_t *sums, const int32_t *levels, uint32_t factor, size_t n) {
    for (size_t i = 0; i < n; ++i) sums[i] += factor * static_cast<uint32_t>(levels[i]);
}

// Sums of stored rows over 2^shift, in the arithmetic of decoders.
Out2<int32_t> sum_rows(In2<int32_t> index, In2<int32_t> factor, In2<int32_t> stored, unsigned shift) {
    const size_t rows = index.shape(0), terms = index.shape(1), count = stored.shape(0), cols = stored.shape(1);
    if (factor.shape(0) != rows || factor.shape(1) != terms || shift > 24)
        throw std::invalid_argument("factor, shift: as many factors as indices, and at most 24, expected");
    for (size_t i = 0; i < rows * terms; ++i)
        if (index.data()[i] < 0 || static_cast<size_t>(index.data()[i]) >= count)
            throw std::invalid_argument("index: stored rows expected");
    Buffer<int32_t> out(rows * cols);
    {
        nb::gil_scoped_release release;
        std::vector<uint32_t> sums(cols);
        for (size_t r = 0; r < rows; ++r) {
            std::fill(sums.begin(), sums.end(), shift ? uint32_t{1} << (shift - 1) : 0);
            for (size_t k = 0; k < terms; ++k) {
                const uint32_t by = static_cast<uint32_t>(factor.data()[r * terms + k]);
                if (by) add_times(sums.data(), stored.data() + static_cast<size_t>(index.data()[r * terms + k]) * cols, by, cols);
            }
            for (size_t c = 0; c < cols; ++c) out.get()[r * cols + c] = static_cast<int32_t>(sums[c]) >> shift;
        }
    }
    return out.matrix(rows, cols);
}

}  // namespace

void bind_rows(nb::module_ &m) {
    m.def("pivot_rows", &pivot_rows, nb::arg("weights"), nb::arg("most"), nb::arg("order").none(), nb::arg("noise"));
    m.def("match_rows", &match_rows, nb::arg("weights"), nb::arg("stored"), nb::arg("terms"));
    m.def("sum_rows", &sum_rows, nb::arg("index"), nb::arg("factor"), nb::arg("stored"), nb::arg("shift"));
}

}  // namespace neuralcodec
