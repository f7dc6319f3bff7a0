// Rows as sums of a few others: which rows to keep, and the factors of the sums.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>

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

// Orthogonal matching pursuit (Pati, Rezaiifar and Krishnaprasad 1993): the terms of each row, best first, and factors by
// least squares. Terms that are not used have factor 0.
std::pair<Out2<uint32_t>, Out2<double>> match_rows(In2<float> weights, In2<float> stored, size_t terms) {
    const size_t rows = weights.shape(0), cols = weights.shape(1), count = stored.shape(0);
    if (stored.shape(1) != cols || terms < 1 || terms > 32 || terms > count)
        throw std::invalid_argument("stored, terms: as many columns, and 1 to 32 terms, expected");
    Buffer<uint32_t> index(rows * terms);
    Buffer<double> factor(rows * terms);
    {
        nb::gil_scoped_release release;
        std::vector<double> gram(count * count), with(count), left(count), l(terms * terms), forward(terms);
        for (size_t i = 0; i < count; ++i)
            for (size_t j = 0; j <= i; ++j)
                gram[i * count + j] = gram[j * count + i] = dot(stored.data() + i * cols, stored.data() + j * cols, cols);
        for (size_t r = 0; r < rows; ++r) {
            for (size_t i = 0; i < count; ++i) with[i] = dot(weights.data() + r * cols, stored.data() + i * cols, cols);
            left = with;
            std::vector<uint32_t> chosen;
            std::vector<double> found;
            size_t n = 0;  // of the triangle l, whose product with its transpose is what Gram's matrix says of the chosen
            while (n < terms) {
                size_t best = count;
                double gain = 0;
                for (size_t i = 0; i < count; ++i) {
                    const double own = gram[i * count + i];
                    if (own <= 0 || std::find(chosen.begin(), chosen.end(), i) != chosen.end()) continue;
                    if (left[i] * left[i] / own > gain) best = i, gain = left[i] * left[i] / own;
                }
                if (best == count) break;
                const double *const of_best = &gram[best * count];
                double rest = of_best[best], y = with[best];
                for (size_t i = 0; i < n; ++i) {
                    double sum = of_best[chosen[i]];
                    for (size_t k = 0; k < i; ++k) sum -= l[n * terms + k] * l[i * terms + k];
                    sum /= l[i * terms + i];
                    l[n * terms + i] = sum;
                    rest -= sum * sum;
                    y -= sum * forward[i];
                }
                if (!(rest > 1e-9 * of_best[best])) break;
                l[n * terms + n] = std::sqrt(rest);
                forward[n] = y / l[n * terms + n];
                chosen.push_back(static_cast<uint32_t>(best));
                ++n;
                found.assign(forward.begin(), forward.begin() + static_cast<std::ptrdiff_t>(n));
                for (size_t i = n; i-- > 0;) {
                    for (size_t k = i + 1; k < n; ++k) found[i] -= l[k * terms + i] * found[k];
                    found[i] /= l[i * terms + i];
                }
                left = with;
                for (size_t j = 0; j < n; ++j) {
                    const double *const line = &gram[chosen[j] * count];
                    for (size_t i = 0; i < count; ++i) left[i] -= found[j] * line[i];
                }
            }
            for (size_t k = 0; k < terms; ++k) {
                index.get()[r * terms + k] = k < chosen.size() ? chosen[k] : 0;
                factor.get()[r * terms + k] = k < chosen.size() ? found[k] : 0;
            }
        }
    }
    return {index.matrix(rows, terms), factor.matrix(rows, terms)};
}

}  // namespace

void bind_rows(nb::module_ &m) {
    m.def("pivot_rows", &pivot_rows, nb::arg("weights"), nb::arg("most"), nb::arg("order").none(), nb::arg("noise"));
    m.def("match_rows", &match_rows, nb::arg("weights"), nb::arg("stored"), nb::arg("terms"));
}

}  // namespace neuralcodec
