// Optimal k-means in one dimension, by dynamic programming.
//
// Clusters are runs of the sorted atoms (Fisher 1958; Wang and Song 2011). With least(k, n) the least distortion of the
// first n atoms in k clusters, least(k, n) = min over the cut i of least(k - 1, i) + squares(i ... n - 1); the best cut
// does not descend with n, so that each k takes O(n log n) by divide and conquer (survey: Gronlund et al. 2017).
//
// With a centroid fixed at 0: values that are nearest to it form a run around 0, all values left of the run are
// negative and those right of it positive. So negative and positive atoms each have a programme of their own, with the
// atoms from the last cut on (towards 0) going to the centroid 0, and the k - 1 other clusters are shared out between
// the two.
//
// What bins lose. Take the optimal centroids, and send each bin as a whole to the centroid nearest to its mean. Only
// bins that hold a border b between neighbouring centroids c < c' change. Of a bin with weight W, mean m and squares Q, let
// A be the weighted sum of x - b over values above b, and B that of b - x below. To the left, the bin costs
// 2 (c' - c) A more than before, to the right 2 (c' - c) B. The smaller of the two is greatest if b = m, where both
// are half the weighted absolute deviation, at most sqrt(W Q) / 2. The distances c' - c add up to no more than the
// range of the centroids: in all no more than range * max sqrt(W Q) is lost (atoms.hpp: looseness), and the best
// clusters of whole bins are at least as good as these.
#include "cluster.hpp"

#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

namespace neuralcodec {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Least distortion of the first n atoms in exactly k clusters, and the last cut of each.
class Programme {
public:
    // Of 0 ... `most` clusters, no more than atoms.
    Programme(const std::vector<Group> &atoms, size_t most) : runs_(atoms), clusters_(std::min(most, atoms.size())) {
        const size_t n = atoms.size();
        least_.assign(n + 1, infinity);
        least_[0] = 0;
        row_ = least_;
    }

    size_t clusters() const { return clusters_; }

    // Least distortion of the first n atoms, in as many clusters as rows were made.
    const std::vector<double> &least() const { return least_; }

    // One cluster more.
    void next_row() {
        const size_t n = runs_.size();
        ++rows_;
        cuts_.emplace_back(n + 1 - rows_);
        std::fill(row_.begin(), row_.end(), infinity);
        fill(rows_, n, rows_ - 1, n - 1);
        least_.swap(row_);
    }

    // Means of the clusters of the first n atoms in k clusters.
    void centroids(size_t k, size_t n, std::vector<double> *out) const {
        const size_t at = out->size();
        for (; k; --k) {
            const size_t cut = cuts_[k - 1][n - k];
            out->push_back(runs_.sum(cut, n - 1).mean);
            n = cut;
        }
        std::reverse(out->begin() + static_cast<ptrdiff_t>(at), out->end());
    }

private:
    // Fills the row for the first `from` ... `to` atoms, whose cuts lie in `low` ... `high`.
    void fill(size_t from, size_t to, size_t low, size_t high) {
        while (from <= to) {
            const size_t n = from + (to - from) / 2;
            const size_t cut = runs_.best_cut(least_.data(), low, std::min(high, n - 1), n - 1, &row_[n]);
            cuts_.back()[n - rows_] = static_cast<uint32_t>(cut);
            fill(from, n - 1, low, cut);
            from = n + 1;
            low = cut;
        }
    }

    Runs runs_;
    size_t clusters_, rows_ = 0;
    std::vector<double> least_, row_;
    std::vector<std::vector<uint32_t>> cuts_;  // for each row from n = row on
};

std::vector<Clusters> unconstrained(const std::vector<Group> &atoms, size_t most, bool all) {
    Programme programme(atoms, most);
    std::vector<Clusters> out;
    for (size_t k = 1; k <= programme.clusters(); ++k) {
        programme.next_row();
        if (!all && k < programme.clusters()) continue;
        Clusters found{{}, programme.least()[atoms.size()]};
        programme.centroids(k, atoms.size(), &found.centroids);
        out.push_back(std::move(found));
    }
    return out;
}

// Atoms of one sign, from the far end towards 0: for each number of clusters the least distortion, with the rest going
// to 0, and how many atoms are not of that rest.
struct Side {
    explicit Side(std::vector<Group> atoms, size_t most) : programme(atoms, most) {
        const size_t n = atoms.size();
        std::vector<double> rest(n + 1, 0);
        for (size_t i = n; i-- > 0;)
            rest[i] = rest[i + 1] + (atoms[i].squares + atoms[i].weight * atoms[i].mean * atoms[i].mean);
        for (size_t k = 0; k <= programme.clusters(); ++k) {
            if (k) programme.next_row();
            double best = infinity;
            size_t at = k;
            for (size_t i = k; i <= n; ++i)
                if (programme.least()[i] + rest[i] < best) {
                    best = programme.least()[i] + rest[i];
                    at = i;
                }
            least.push_back(best);
            taken.push_back(at);
        }
    }

    Programme programme;
    std::vector<double> least;
    std::vector<size_t> taken;
};

std::vector<Clusters> with_zero(const std::vector<Group> &atoms, size_t most, bool all) {
    std::vector<Group> below, above;
    for (const Group &atom : atoms) {
        if (atom.mean < 0) below.push_back(atom);
        if (atom.mean > 0) above.push_back({atom.weight, -atom.mean, atom.squares});
    }
    std::reverse(above.begin(), above.end());
    const Side left(std::move(below), most - 1), right(std::move(above), most - 1);
    const size_t last = std::min(most, left.programme.clusters() + right.programme.clusters() + 1);
    std::vector<Clusters> out;
    for (size_t k = all ? 1 : last; k <= last; ++k) {
        size_t at = 0;
        Clusters found{{}, infinity};
        for (size_t a = 0; a < k && a < left.least.size(); ++a)
            if (k - 1 - a < right.least.size() && left.least[a] + right.least[k - 1 - a] < found.distortion) {
                found.distortion = left.least[a] + right.least[k - 1 - a];
                at = a;
            }
        left.programme.centroids(at, left.taken[at], &found.centroids);
        found.centroids.push_back(0);
        std::vector<double> positive;
        right.programme.centroids(k - 1 - at, right.taken[k - 1 - at], &positive);
        for (auto c = positive.rbegin(); c != positive.rend(); ++c) found.centroids.push_back(-*c);
        out.push_back(std::move(found));
    }
    return out;
}

}  // namespace

std::vector<Clusters> best_clusters(const std::vector<Group> &atoms, size_t most, bool zero, bool all) {
    return zero ? with_zero(atoms, most, all) : unconstrained(atoms, most, all);
}

void check_values(const In<float> &values, const std::optional<In<float>> &importance) {
    const size_t n = values.size();
    if (!n) throw std::invalid_argument("values: at least one expected");
    auto count_bad = [n](const float *data, auto &&good) {
        return n - static_cast<size_t>(std::count_if(data, data + n, good));
    };
    const std::string of = " of " + std::to_string(n);
    size_t bad = count_bad(values.data(), [](float x) { return std::isfinite(x); });
    if (bad) throw std::invalid_argument("values: finite numbers expected, " + std::to_string(bad) + of + " are not");
    if (!importance) return;
    if (importance->size() != n) throw std::invalid_argument("importance: one number for each value expected");
    bad = count_bad(importance->data(), [](float x) { return x >= 0 && std::isfinite(x); });
    if (bad)
        throw std::invalid_argument("importance: finite numbers not below 0 expected, " + std::to_string(bad) + of +
                                    " are not");
}

void check_clusters(size_t clusters, size_t bins) {
    if (clusters < 1 || clusters > 65536) throw std::invalid_argument("clusters: 1 to 65536 expected");
    // Twice as many, because ties may leave bins unused.
    if (bins < 2 * clusters + 3)
        throw std::invalid_argument("bins: at least 2 * clusters + 3 = " + std::to_string(2 * clusters + 3) +
                                    " expected");
    if (bins > std::numeric_limits<uint32_t>::max()) throw std::invalid_argument("bins: fewer than 2^32 expected");
}

const float *useful(const std::optional<In<float>> &importance) {
    if (!importance) return nullptr;
    const float *data = importance->data();
    return std::any_of(data, data + importance->size(), [](float x) { return x > 0; }) ? data : nullptr;
}

namespace {

nb::list kmeans(In<float> values, size_t most, std::optional<In<float>> importance, bool zero, size_t bins, bool all) {
    check_values(values, importance);
    check_clusters(most, bins);
    std::vector<Clusters> found;
    double bound = 0;
    {
        nb::gil_scoped_release release;
        Atoms atoms;
        {
            const Sorted sorted(values.data(), useful(importance), values.size());
            atoms = collapse(sorted, bins);
        }
        found = best_clusters(atoms.groups, most, zero, all);
        if (!atoms.exact) {
            double low = atoms.groups.front().mean, high = atoms.groups.back().mean;
            // Of the values, not of their means: centroids lie among them.
            for (size_t i = 0; i < values.size(); ++i) {
                low = std::min(low, static_cast<double>(values.data()[i]));
                high = std::max(high, static_cast<double>(values.data()[i]));
            }
            if (zero) {
                low = std::min(low, 0.0);
                high = std::max(high, 0.0);
            }
            bound = (high - low) * atoms.looseness;
        }
    }
    nb::list out;
    for (Clusters &each : found) {
        Buffer<double> centroids(each.centroids.size());
        std::copy(each.centroids.begin(), each.centroids.end(), centroids.get());
        // No clustering is better than none: the optimum is not below 0.
        out.append(nb::make_tuple(centroids.array(), each.distortion, std::min(bound, each.distortion)));
    }
    return out;
}

}  // namespace

void bind_cluster(nb::module_ &m) {
    m.def("kmeans", &kmeans, nb::arg("values"), nb::arg("most"), nb::arg("importance") = nb::none(),
          nb::arg("zero") = false, nb::arg("bins") = size_t{1} << 14, nb::arg("all") = false);
}

}  // namespace neuralcodec
