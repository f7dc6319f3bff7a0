// Optimal k-means in one dimension.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "atoms.hpp"
#include "common.hpp"

namespace neuralcodec {

struct Clusters {
    std::vector<double> centroids;  // ascending
    double distortion;              // weighted sum of squared errors, each atom going to one centroid
};

// The best clusters of 1, 2, ... `most` centroids, fewer if there are fewer atoms; with `all` false only the last of
// these. With `zero` one of the centroids is 0.
std::vector<Clusters> best_clusters(const std::vector<Group> &atoms, size_t most, bool zero, bool all);

// A cluster of a start for entropy-constrained clustering.
struct Segment {
    double centroid, count;
};

// Runs of atoms with the least distortion + lambda * bits, where a value costs the binary logarithm of all values over
// those of its run: at most `most` of them; with `zero` one has the centroid 0. Empty if there are none such.
std::vector<Segment> best_segments(const Atoms &atoms, size_t most, double lambda, bool zero);

// Throws std::invalid_argument unless there are values, all finite, and importance, if any, is as many finite numbers
// that are not negative.
void check_values(const In<float> &values, const std::optional<In<float>> &importance);

// Throws std::invalid_argument unless there are 1 to 65536 clusters, and bins enough for so many.
void check_clusters(size_t clusters, size_t bins);

// The importance; null if there is none, or if all of it is 0: then no weight matters more than another.
const float *useful(const std::optional<In<float>> &importance);

}  // namespace neuralcodec
