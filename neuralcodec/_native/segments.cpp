// Where entropy-constrained clustering starts: the best cut of a coarse histogram, as a shortest path (Muresan and Effros
// 2008). Iterations alone, from the centroids of k-means, end in poor local optima at high rates: there a uniform
// quantizer is near the best, and no centroid of k-means will move so far.
#include <algorithm>
#include <cmath>
#include <limits>

#include "cluster.hpp"

namespace neuralcodec {

double log2_alike(double x) {
    int exponent;
    double m = std::frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2;
        --exponent;
    }
    // ln m = 2 artanh z with |z| < 0.1716: the terms left out are below 1e-18.
    const double z = (m - 1) / (m + 1), y = z * z;
    double sum = 0;
    for (int i = 21; i > 0; i -= 2) sum = sum * y + 1.0 / i;
    return static_cast<double>(exponent) + 2.8853900817779268 * z * sum;
}

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

class Path {
public:
    Path(const Atoms &atoms, double lambda, bool zero)
        : atoms_(atoms.groups), runs_(atoms.groups), lambda_(lambda), zero_(zero), before_(atoms.groups.size() + 1) {
        const size_t n = atoms_.size();
        for (size_t i = 0; i < n; ++i) before_[i + 1] = before_[i] + atoms.counts[i];
        below_ = static_cast<size_t>(std::count_if(atoms_.begin(), atoms_.end(), [](const Group &a) { return a.mean < 0; }));
        at_zero_ = below_ < n && !(atoms_[below_].mean > 0);
        about_zero_.resize(n + 1);
        auto squares = [&](size_t i) { return atoms_[i].squares + atoms_[i].weight * atoms_[i].mean * atoms_[i].mean; };
        for (size_t i = below_; i-- > 0;) about_zero_[i] = about_zero_[i + 1] + squares(i);
        for (size_t i = below_; i < n; ++i) about_zero_[i + 1] = about_zero_[i] + squares(i);
        least_.resize(n + 1);
        from_.resize(n + 1);
    }

    // With zero: no run of negative values alone meets one of positive values alone, so one has the centroid 0. That
    // takes values on both sides, or at 0.
    bool possible() const { return !zero_ || at_zero_ || (below_ > 0 && below_ < atoms_.size()); }

    // The best runs, where each costs `toll` more.
    std::vector<Segment> cut(double toll) {
        const size_t n = atoms_.size();
        least_[0] = 0;
        for (size_t end = 1; end <= n; ++end) {
            least_[end] = infinity;
            from_[end] = 0;
            if (zero_ && !at_zero_ && end == below_) continue;
            for (size_t i = end; i-- > 0;) {
                const double distortion = around_zero(i, end) ? about_zero_[i] + about_zero_[end]
                                                              : runs_.sum(i, end - 1).squares;
                if (distortion >= least_[end]) break;  // longer runs have more
                const double count = before_[end] - before_[i];
                const double cost =
                    least_[i] + (distortion + lambda_ * count * log2_alike(before_[n] / count) + toll);
                if (cost < least_[end]) {
                    least_[end] = cost;
                    from_[end] = i;
                }
            }
        }
        std::vector<Segment> out;
        for (size_t end = n; end; end = from_[end]) {
            const size_t i = from_[end];
            out.push_back({around_zero(i, end) ? 0 : runs_.sum(i, end - 1).mean, before_[end] - before_[i]});
        }
        std::reverse(out.begin(), out.end());
        return out;
    }

    double length() const { return least_.back(); }

private:
    bool around_zero(size_t first, size_t end) const {
        return zero_ && first <= below_ && end > below_ && (at_zero_ || first < below_);
    }

    const std::vector<Group> &atoms_;
    Runs runs_;
    double lambda_;
    bool zero_, at_zero_ = false;
    size_t below_ = 0;                 // atoms below 0
    std::vector<double> before_;       // values before an atom
    std::vector<double> about_zero_;   // weighted squares of the atoms between 0 and an atom
    std::vector<double> least_;
    std::vector<size_t> from_;
};

}  // namespace

std::vector<Segment> best_segments(const Atoms &atoms, size_t most, double lambda, bool zero) {
    Path path(atoms, lambda, zero);
    if (!path.possible()) return {};
    std::vector<Segment> found = path.cut(0);
    if (found.size() <= most) return found;
    // Too many: find the least toll with which there are few enough.
    double low = 0, high = path.length() / static_cast<double>(most);
    while ((found = path.cut(high)).size() > most) {
        low = high;
        high *= 4;
    }
    for (unsigned i = 0; i < 24 && found.size() + 1 + most / 64 < most; ++i) {
        const double toll = low + (high - low) / 2;
        std::vector<Segment> tried = path.cut(toll);
        if (tried.size() > most) {
            low = toll;
        } else {
            high = toll;
            found = std::move(tried);
        }
    }
    return found;
}

}  // namespace neuralcodec
