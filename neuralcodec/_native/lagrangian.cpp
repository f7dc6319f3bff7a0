// Weights to centroids: the nearest ones, or those of least distortion + rate (Chou, Lookabaugh and Gray 1989).
//
// Without importance each centroid takes an interval, whatever the rates: distortion + rate is a parabola for each
// centroid, all of one curvature, so their lower envelope takes each once. With importance the curvatures differ from
// weight to weight, and each weight looks around for itself.
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "cluster.hpp"

namespace neuralcodec {

namespace {

constexpr float float_infinity = std::numeric_limits<float>::infinity();
constexpr double infinity = std::numeric_limits<double>::infinity();

// Intervals of the line: the first ends at ends[0], included; the last has no end.
struct Cells {
    std::vector<double> ends;
    std::vector<size_t> owners;  // index of a centroid; one more than ends
};

// The largest float32 not above a + b over 2 as real numbers.
float middle_below(double a, double b) {
    const double sum = a + b, half = sum / 2;
    const double back = sum - a, rest = (a - (sum - back)) + (b - back);  // a + b is sum + rest exactly (Knuth)
    float f = static_cast<float>(half);
    if (static_cast<double>(f) > half || (static_cast<double>(f) >= half && rest < 0))
        f = std::nextafter(f, -float_infinity);
    return f;
}

// Lower envelope of (x - c)^2 + penalty, for ascending centroids; where two are equal the lower one has it. Infinite
// penalties take no part.
Cells envelope(const double *c, const double *penalties, size_t k) {
    Cells out;
    for (size_t j = 0; j < k; ++j) {
        const double penalty = penalties ? penalties[j] : 0;
        if (std::isinf(penalty)) continue;
        double end = -infinity;
        while (!out.owners.empty()) {
            const size_t i = out.owners.back();
            const double other = penalties ? penalties[i] : 0, gap = c[j] - c[i];
            if (gap > 0)
                // For nearest centroids exactly as float32 weights see it.
                end = penalties ? c[i] / 2 + c[j] / 2 + (penalty - other) / gap / 2
                                : static_cast<double>(middle_below(c[i], c[j]));
            else
                end = penalty < other ? -infinity : infinity;
            if (end > (out.ends.empty() ? -infinity : out.ends.back())) break;
            out.owners.pop_back();
            if (!out.ends.empty()) out.ends.pop_back();
        }
        if (end >= infinity) continue;
        if (!out.owners.empty()) out.ends.push_back(end);
        out.owners.push_back(j);
    }
    return out;
}

// How many of 2^depth - 1 ascending ends lie below each value: a binary search without branches.
NC_CLONES void search_run(const float *values, size_t n, const float *ends, unsigned depth, uint8_t *out) {
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        uint32_t at[lanes] = {};
        for (unsigned step = depth ? 1u << (depth - 1) : 0; step; step >>= 1)
            for (size_t j = 0; j < lanes; ++j) at[j] += values[i + j] > ends[at[j] + step - 1] ? step : 0;
        for (size_t j = 0; j < lanes; ++j) out[i + j] = static_cast<uint8_t>(at[j]);
    }
    for (; i < n; ++i) {
        uint32_t at = 0;
        for (unsigned step = depth ? 1u << (depth - 1) : 0; step; step >>= 1)
            at += values[i] > ends[at + step - 1] ? step : 0;
        out[i] = static_cast<uint8_t>(at);
    }
}

void assign_cells(const float *values, size_t n, const Cells &cells, uint8_t *out) {
    unsigned depth = 0;
    while ((size_t{1} << depth) < cells.owners.size()) ++depth;
    std::vector<float> ends(size_t{1} << depth, float_infinity);
    for (size_t i = 0; i < cells.ends.size(); ++i) {
        float end = static_cast<float>(cells.ends[i]);
        if (static_cast<double>(end) > cells.ends[i]) end = std::nextafter(end, -float_infinity);
        ends[i] = end;
    }
    search_run(values, n, ends.data(), depth, out);
    bool same = true;
    uint8_t owners[256];
    for (size_t i = 0; i < cells.owners.size(); ++i) {
        owners[i] = static_cast<uint8_t>(cells.owners[i]);
        same = same && cells.owners[i] == i;
    }
    if (!same)
        for (size_t i = 0; i < n; ++i) out[i] = owners[out[i]];
}

// Centroids that a weight may go to, in ascending order, all with finite penalties.
struct Choice {
    std::vector<double> centroids, penalties;
    std::vector<size_t> owners;
    size_t cheapest = 0;  // least penalty

    Choice(const double *c, const double *p, size_t k) {
        for (size_t j = 0; j < k; ++j) {
            if (std::isinf(p[j])) continue;
            centroids.push_back(c[j]);
            penalties.push_back(p[j]);
            owners.push_back(j);
            if (p[j] < penalties[cheapest]) cheapest = owners.size() - 1;
        }
    }

    // Of least importance (x - c)^2 + penalty, the lowest of equals. `near` is the nearest.
    size_t best(double x, double importance, size_t near) const {
        if (!(importance > 0)) return cheapest;
        const double floor = penalties[cheapest];
        auto distortion = [&](size_t j) { return importance * (x - centroids[j]) * (x - centroids[j]); };
        size_t at = near;
        double least = distortion(near) + penalties[near];
        for (size_t j = near; j-- > 0;) {
            const double d = distortion(j);
            if (d + floor > least) break;
            if (d + penalties[j] <= least) {
                least = d + penalties[j];
                at = j;
            }
        }
        for (size_t j = near + 1; j < centroids.size(); ++j) {
            const double d = distortion(j);
            if (d + floor >= least) break;
            if (d + penalties[j] < least) {
                least = d + penalties[j];
                at = j;
            }
        }
        return at;
    }
};

using Optional = std::optional<In<float>>;
using Doubles = In1<double>;

void check_centroids(const Doubles &c) {
    if (!c.size() || c.size() > 256) throw std::invalid_argument("centroids: 1 to 256 expected");
    for (size_t i = 0; i < c.size(); ++i)
        if (!std::isfinite(c.data()[i]) || (i && c.data()[i] < c.data()[i - 1]))
            throw std::invalid_argument("centroids: finite numbers in ascending order expected");
}

Out1<uint8_t> assign(In<float> values, Doubles centroids, std::optional<Doubles> penalties, Optional importance) {
    check_centroids(centroids);
    const double *c = centroids.data(), *p = penalties ? penalties->data() : nullptr;
    const size_t k = centroids.size(), n = values.size();
    if (p) {
        if (penalties->size() != k) throw std::invalid_argument("penalties: one for each centroid expected");
        if (!std::any_of(p, p + k, [](double each) { return std::isfinite(each); }) ||
            std::any_of(p, p + k, [](double each) { return !(each > -infinity); }))
            throw std::invalid_argument("penalties: numbers expected, infinite ones for centroids out of use");
    }
    if (n) check_values(values, p ? importance : std::nullopt);
    Buffer<uint8_t> out(n);
    {
        nb::gil_scoped_release release;
        if (!p || !importance) {
            assign_cells(values.data(), n, envelope(c, p, k), out.get());
        } else {
            const Choice choice(c, p, k);
            const Cells nearest = envelope(choice.centroids.data(), nullptr, choice.centroids.size());
            assign_cells(values.data(), n, nearest, out.get());
            for (size_t i = 0; i < n; ++i) {
                const double x = static_cast<double>(values.data()[i]);
                const size_t at = choice.best(x, static_cast<double>(importance->data()[i]), out.get()[i]);
                out.get()[i] = static_cast<uint8_t>(choice.owners[at]);
            }
        }
    }
    return out.array();
}

// What a centroid got in one round.
struct Cell {
    double centroid, count, distortion;
    bool fixed;
};

struct Codebook {
    std::vector<Cell> cells;
    double distortion = 0, rate = 0, lagrangian = 0;  // rate in bits
};

using Penalties = std::vector<double>;

// Without importance, cell by cell.
std::vector<Cell> share_out(const Sorted &sorted, const Blocks &blocks, const std::vector<Cell> &cells,
                            const Penalties &penalties) {
    std::vector<double> c;
    for (const Cell &cell : cells) c.push_back(cell.centroid);
    const Cells made = envelope(c.data(), penalties.data(), c.size());
    std::vector<Cell> out(cells);
    for (Cell &cell : out) cell.count = cell.distortion = 0;
    size_t first = 0;
    for (size_t i = 0; i < made.owners.size(); ++i) {
        const size_t end = i < made.ends.size() ? blocks.count_up_to(made.ends[i]) : sorted.size();
        if (end <= first) continue;
        const Group sum = blocks.sum(first, end);
        Cell &cell = out[made.owners[i]];
        cell.count = sum.weight;
        cell.distortion = sum.squares;
        if (cell.fixed)
            cell.distortion += sum.weight * (sum.mean - cell.centroid) * (sum.mean - cell.centroid);
        else
            cell.centroid = sum.mean;
        first = end;
    }
    return out;
}

// With importance, weight by weight.
std::vector<Cell> share_out(const Sorted &sorted, const std::vector<Cell> &cells, const Penalties &penalties) {
    std::vector<double> c;
    for (const Cell &cell : cells) c.push_back(cell.centroid);
    const Choice choice(c.data(), penalties.data(), c.size());
    const Cells nearest = envelope(choice.centroids.data(), nullptr, choice.centroids.size());
    struct Sums {
        double count = 0, weight = 0, sum = 0, squares = 0;  // of distances from the old centroid
    };
    std::vector<Sums> sums(choice.centroids.size());
    size_t cell = 0;
    for (size_t i = 0; i < sorted.size(); ++i) {
        const double x = static_cast<double>(sorted.value(i)), w = sorted.weight(i);
        while (cell < nearest.ends.size() && x > nearest.ends[cell]) ++cell;
        const size_t at = choice.best(x, w, nearest.owners[cell]);
        const double y = x - choice.centroids[at];
        sums[at].count += 1;
        sums[at].weight += w;
        sums[at].sum += w * y;
        sums[at].squares += w * y * y;
    }
    std::vector<Cell> out(cells);
    for (Cell &each : out) each.count = each.distortion = 0;
    for (size_t i = 0; i < sums.size(); ++i) {
        Cell &each = out[choice.owners[i]];
        each.count = sums[i].count;
        each.distortion = sums[i].squares;
        if (each.fixed || !(sums[i].weight > 0)) continue;
        const double moved = sums[i].sum / sums[i].weight;
        each.centroid += moved;
        each.distortion = std::max(0.0, each.distortion - sums[i].sum * moved);
    }
    // Cells of weights that differ in importance overlap, so that means may change places.
    std::stable_sort(out.begin(), out.end(), [](const Cell &a, const Cell &b) { return a.centroid < b.centroid; });
    return out;
}

Penalties penalties_of(const std::vector<Cell> &cells, double n, double lambda) {
    Penalties out;
    for (const Cell &cell : cells) out.push_back(cell.count > 0 ? lambda * log2_alike(n / cell.count) : infinity);
    return out;
}

// Cells that got something, and one that is fixed.
Codebook measured(const std::vector<Cell> &cells, double n, double lambda) {
    Codebook out;
    for (const Cell &cell : cells) {
        if (!(cell.count > 0) && !cell.fixed) continue;
        out.cells.push_back(cell);
        out.distortion += cell.distortion;
        if (cell.count > 0) out.rate += cell.count * log2_alike(n / cell.count);
    }
    out.lagrangian = out.distortion + lambda * out.rate;
    return out;
}

constexpr unsigned most_rounds = 1000;
constexpr size_t segment_bins = 2048;

nb::tuple entropy_constrained(In<float> values, size_t clusters, double lambda, Optional importance, bool zero,
                              size_t bins) {
    check_values(values, importance);
    check_clusters(clusters, bins);
    if (!(lambda >= 0) || std::isinf(lambda)) throw std::invalid_argument("lagrangian: 0 or more expected");
    Codebook best;
    std::vector<double> history;
    const double n = static_cast<double>(values.size());
    {
        nb::gil_scoped_release release;
        const Sorted sorted(values.data(), useful(importance), values.size());
        std::optional<Blocks> blocks;
        if (!sorted.weighted()) blocks.emplace(sorted);
        auto next = [&](const std::vector<Cell> &cells, const Penalties &penalties) {
            return measured(blocks ? share_out(sorted, *blocks, cells, penalties) : share_out(sorted, cells, penalties),
                            n, lambda);
        };
        const std::vector<Clusters> optimal =
            best_clusters(collapse(sorted, bins).groups, clusters, zero, false);
        std::vector<Cell> start;
        for (double c : optimal[0].centroids) start.push_back({c, 0, 0, zero && c == 0});
        best = next(start, Penalties(start.size(), 0));
        history.push_back(best.lagrangian);
        start.clear();
        if (lambda > 0) {
            const Atoms coarse = collapse(sorted, std::max(segment_bins, 2 * clusters + 3));
            for (const Segment &each : best_segments(coarse, clusters, lambda, zero))
                start.push_back({each.centroid, each.count, 0, zero && each.centroid == 0});
        }
        if (!start.empty()) {
            Codebook tried = next(start, penalties_of(start, n, lambda));
            if (tried.lagrangian < best.lagrangian) {
                best = std::move(tried);
                history.push_back(best.lagrangian);
            }
        }
        const double enough = sorted.weighted() ? 1e-7 : 1e-9;
        for (unsigned i = 0; i < most_rounds; ++i) {
            Codebook tried = next(best.cells, penalties_of(best.cells, n, lambda));
            history.push_back(tried.lagrangian);
            if (!(tried.lagrangian < best.lagrangian)) break;
            const bool settled = best.lagrangian - tried.lagrangian <= enough * best.lagrangian;
            best = std::move(tried);
            if (settled) break;
        }
    }
    Buffer<double> centroids(best.cells.size()), probabilities(best.cells.size()), rounds(history.size());
    for (size_t i = 0; i < best.cells.size(); ++i) {
        centroids.get()[i] = best.cells[i].centroid;
        probabilities.get()[i] = best.cells[i].count / n;
    }
    std::copy(history.begin(), history.end(), rounds.get());
    return nb::make_tuple(centroids.array(), probabilities.array(), best.distortion, best.rate / n, rounds.array());
}

}  // namespace

void bind_lagrangian(nb::module_ &m) {
    m.def("assign", &assign, nb::arg("values"), nb::arg("centroids"), nb::arg("penalties") = nb::none(),
          nb::arg("importance") = nb::none());
    m.def("entropy_constrained", &entropy_constrained, nb::arg("values"), nb::arg("clusters"), nb::arg("lagrangian"),
          nb::arg("importance") = nb::none(), nb::arg("zero") = false, nb::arg("bins") = size_t{1} << 14);
}

}  // namespace neuralcodec
