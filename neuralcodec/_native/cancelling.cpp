// Indices of centroids whose errors cancel in each row (codecs/shaping.py).
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "common.hpp"

namespace neuralcodec {

namespace {

using Doubles = In1<double>;

// Of each centroid the next one that is larger, or smaller, and in use; itself where there is none.
std::vector<uint8_t> neighbours(const double *centroids, const double *penalties, size_t n, bool up) {
    std::vector<uint8_t> of(n);
    for (size_t i = 0; i < n; ++i) {
        size_t to = i;
        const auto usable = [&](size_t k) {
            const bool further = up ? centroids[k] > centroids[i] : centroids[k] < centroids[i];
            return further && (!penalties || std::isfinite(penalties[k]));
        };
        while (to < n && (to == i || !usable(to))) to += up ? size_t{1} : ~size_t{0};  // below 0 it is beyond n
        of[i] = static_cast<uint8_t>(to < n ? to : i);
    }
    return of;
}

// Takes some values of a row to the next centroid, those first for which it costs least for what it takes off the sum.
// Values of 0 that are 0 stay.
class Canceller {
public:
    Canceller(const Doubles &centroids, const double *penalties, double together, double gain)
        : centroids_(centroids.data()), penalties_(penalties), together_(together), gain_(gain),
          down_(neighbours(centroids.data(), penalties, centroids.size(), false)),
          up_(neighbours(centroids.data(), penalties, centroids.size(), true)) {}

    void row(const float *x, size_t n, double factor, uint8_t *index) {
        double sum = 0;
        for (size_t i = 0; i < n; ++i) sum += gain_ * centroids_[index[i]] - static_cast<double>(x[i]);
        if (!std::isfinite(sum)) return;
        const std::vector<uint8_t> &next = sum > 0 ? down_ : up_;
        double left = std::fabs(sum);
        found_.clear();
        for (size_t i = 0; i < n; ++i) {
            const unsigned from = index[i], to = next[from];
            if (from == to || (x[i] == 0 && centroids_[from] == 0)) continue;  // weights that are pruned stay so
            const double a = static_cast<double>(x[i]) - centroids_[from], b = static_cast<double>(x[i]) - centroids_[to];
            const double by = gain_ * std::fabs(centroids_[to] - centroids_[from]);
            const double cost = factor * (b * b - a * a) + (penalties_ ? penalties_[to] - penalties_[from] : 0);
            if (pays(cost, by, left, factor)) found_.push_back(Step{cost / by, cost, by, i});
        }
        const auto later = [](const Step &a, const Step &b) { return a.each != b.each ? a.each > b.each : a.at > b.at; };
        std::make_heap(found_.begin(), found_.end(), later);
        for (; !found_.empty(); found_.pop_back()) {
            std::pop_heap(found_.begin(), found_.end(), later);
            const Step &step = found_.back();
            if (!(step.each < 2 * factor * together_ * left)) break;  // nor do those that cost more
            if (!pays(step.cost, step.by, left, factor)) continue;
            index[step.at] = next[index[step.at]];
            left -= step.by;
        }
    }

private:
    struct Step {
        double each, cost, by;  // cost for what it takes off the sum, cost, what it takes off
        size_t at;
    };

    bool pays(double cost, double by, double left, double factor) const {
        return cost + factor * together_ * by * (by - 2 * left) < 0;
    }

    const double *centroids_, *penalties_;
    double together_, gain_;
    std::vector<uint8_t> down_, up_;
    std::vector<Step> found_;
};

Out2<uint8_t> cancelled(In2<float> values, In2<uint8_t> indices, Doubles centroids, std::optional<Doubles> penalties,
                        double together, double gain, std::optional<In1<float>> factors) {
    const size_t rows = values.shape(0), cols = values.shape(1), n = centroids.size();
    if (indices.shape(0) != rows || indices.shape(1) != cols || (factors && factors->size() != rows))
        throw std::invalid_argument("indices, factors: one for each value and for each row expected");
    if (!n || n > 256 || (penalties && penalties->size() != n))
        throw std::invalid_argument("centroids: 1 to 256 expected, and as many penalties");
    if (!(together >= 0 && together < 1e6 && gain > 0 && gain < 1e6))
        throw std::invalid_argument("together, gain: a number is out of its range");
    if (rows * cols && *std::max_element(indices.data(), indices.data() + rows * cols) >= n)
        throw std::invalid_argument("indices: of a centroid that there is not");
    Buffer<uint8_t> out(rows * cols);
    std::copy(indices.data(), indices.data() + rows * cols, out.get());
    {
        nb::gil_scoped_release release;
        Canceller canceller(centroids, penalties ? penalties->data() : nullptr, together, gain);
        for (size_t r = 0; r < rows; ++r)
            canceller.row(values.data() + r * cols, cols, factors ? static_cast<double>(factors->data()[r]) : 1,
                          out.get() + r * cols);
    }
    return out.matrix(rows, cols);
}

}  // namespace

void bind_cancelling(nb::module_ &m) {
    m.def("cancelled", &cancelled, nb::arg("values"), nb::arg("indices"), nb::arg("centroids"), nb::arg("penalties"),
          nb::arg("together"), nb::arg("gain") = 1.0, nb::arg("factors") = nb::none());
}

}  // namespace neuralcodec
