// Errors of a row of weights that count together, beside each for itself (docs/trellis.md).
#pragma once

#include <cstddef>
#include <vector>

namespace neuralcodec {

// What the error e of a weight counts after those before it in its row, whose sum is s: weight * (e + of_sum * s)^2.
struct Shape {
    float weight, of_sum;
};

// Of each column. Over a row they come to e'e + together * (sum of e)^2, but for a factor that makes the mean weight 1, as each
// error can only be what is best after those before it: with k columns to come the sum so far still costs c * s^2 at least,
// c = together / (1 + together * k), and e^2 + c * (s + e)^2 is (1 + c) * (e + c / (1 + c) * s)^2 and what s costs before e.
inline std::vector<Shape> shapes(size_t columns, double together) {
    std::vector<Shape> of(columns);
    double sum = 0;
    for (size_t i = 0; i < columns; ++i) {
        const double c = together / (1 + together * static_cast<double>(columns - 1 - i));
        of[i] = Shape{static_cast<float>(1 + c), static_cast<float>(c / (1 + c))};
        sum += 1 + c;
    }
    for (Shape &each : of) each.weight *= static_cast<float>(static_cast<double>(columns) / sum);
    return of;
}

// The sums of all rows, where errors come column by column, and may be others than was thought.
struct RowSums {
    // As far as is known, without errors that may still change, and at the beginning of the tile.
    std::vector<float> now, likely, before;

    explicit RowSums(size_t rows) : now(rows), likely(rows), before(rows) {}
};

}  // namespace neuralcodec
