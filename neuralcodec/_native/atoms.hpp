// What clustering in one dimension works on: a tensor's values in ascending order, collapsed to atoms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace neuralcodec {

// Values in ascending order, each with its importance.
class Sorted {
public:
    // `importance` may be null: then all weigh 1. -0 counts as 0. Values must be finite.
    Sorted(const float *values, const float *importance, size_t n);

    size_t size() const { return keys_.empty() ? pairs_.size() : keys_.size(); }
    bool weighted() const { return !pairs_.empty(); }
    float value(size_t i) const;
    double weight(size_t i) const;

private:
    std::vector<uint32_t> keys_;   // without importance: values as integers of the same order
    std::vector<uint64_t> pairs_;  // with: such an integer, then the bits of the importance
};

// Weight, mean, and weighted squares about the mean, of some values.
struct Group {
    double weight = 0, mean = 0, squares = 0;
};

// Adds a group to another by the formulas of Chan, Golub and LeVeque (1979), which subtract means only.
void merge(Group &to, const Group &other);

// Groups of neighbouring values, in ascending order, that clustering keeps together.
struct Atoms {
    std::vector<Group> groups;
    std::vector<double> counts;  // values of each; those of no weight are in none
    bool exact = true;  // each is one distinct value
    // Largest sqrt(weight * squares) of a group; times the range of the centroids it bounds what is lost by keeping
    // groups together (see cluster.cpp).
    double looseness = 0;
};

// Distinct values of positive weight, or if they are more than `most`, at most `most` bins of neighbouring values.
// Bins never hold values of both signs, and 0 is alone.
Atoms collapse(const Sorted &sorted, size_t most);

// Sums over any run of atoms in constant time, by a disjoint sparse table: for each power of two the sums from the
// middle of each block outwards, so that a run is two of them. Prefix sums would be smaller, but take differences of
// large numbers; here nothing is ever subtracted, and each sum is right to about its last digits, whatever the range of
// the values.
class Runs {
public:
    explicit Runs(const std::vector<Group> &atoms);

    size_t size() const { return atoms_.size(); }

    // Of atoms first ... last, both included.
    Group sum(size_t first, size_t last) const;

    // The cut in `low` ... `high` (high <= last) that is best for a last cluster of atoms cut ... last: with the least
    // before[cut] + squares. The first of equals. Writes that sum to `least`.
    size_t best_cut(const double *before, size_t low, size_t high, size_t last, double *least) const;

private:
    // From the middle of a block to an atom: weight, distance of the mean from the mean of the atom right of the
    // middle, squares.
    struct Level {
        std::vector<double> weight, distance, squares;
    };

    std::vector<Group> atoms_;
    std::vector<Level> levels_;
};

// Sums over any run of sorted values without importance: of whole blocks by Runs, of the rest one by one.
class Blocks {
public:
    explicit Blocks(const Sorted &sorted);

    // Of values first ... end - 1, at least one.
    Group sum(size_t first, size_t end) const;

    // How many values are at most x.
    size_t count_up_to(double x) const;

private:
    const Sorted &sorted_;
    size_t length_;
    Runs runs_;
};

}  // namespace neuralcodec
