// Sorting, collapsing to atoms, and sums over runs of them. Doubles hold the squares of any float32, times any
// importance, without overflow or underflow. The order of all sums is fixed: results are the same on every machine.
#include "atoms.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "common.hpp"

namespace neuralcodec {

namespace {

// Integers in the order of the floats.
uint32_t key_of(float value) {
    value += 0.0f;  // -0 becomes 0
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

float value_of(uint32_t key) {
    const uint32_t bits = key & 0x80000000u ? key & 0x7FFFFFFFu : ~key;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Stable, by the 32 bits from `shift` on: three passes of 11, 11 and 10 bits.
template <typename T>
void radix_sort(std::vector<T> &items, unsigned shift) {
    constexpr unsigned bits = 11;
    constexpr size_t buckets = size_t{1} << bits;
    std::vector<std::array<size_t, buckets>> counts(3);
    for (auto &count : counts) count.fill(0);
    auto digit = [shift](T item, unsigned pass) {
        return static_cast<size_t>(static_cast<uint32_t>(item >> shift) >> (bits * pass)) & (buckets - 1);
    };
    for (T item : items)
        for (unsigned pass = 0; pass < 3; ++pass) ++counts[pass][digit(item, pass)];
    std::vector<T> other(items.size());
    for (unsigned pass = 0; pass < 3; ++pass) {
        size_t at = 0;
        for (size_t &count : counts[pass]) {
            const size_t next = at + count;
            count = at;
            at = next;
        }
        for (T item : items) other[counts[pass][digit(item, pass)]++] = item;
        items.swap(other);
    }
}

// Values one after the other, equal ones taken together, those without weight left out.
template <typename F>
void for_each_distinct(const Sorted &sorted, F &&f) {
    const size_t n = sorted.size();
    for (size_t i = 0; i < n;) {
        const float value = sorted.value(i);
        const size_t first = i;
        double weight = 0;
        for (; i < n && !(value < sorted.value(i)); ++i) weight += sorted.weight(i);
        if (weight > 0 && !f(static_cast<double>(value), weight, i - first, i)) return;
    }
}

bool apart(double first, double value) { return value == 0 || first == 0 || (first < 0) != (value < 0); }

// Cuts values into bins, each as long as weight * squares stays within `most`. Stops after
// `limit` + 1 bins. emit(value, weight, number of values, whether a bin begins).
struct Cut {
    size_t bins = 0, used = 0;  // values used
};
template <typename Emit>
Cut cut(const Sorted &sorted, double most, size_t limit, Emit &&emit) {
    Cut out;
    double first = 0, weight = 0, sum = 0, squares = 0;  // of distances from the first value of the bin
    for_each_distinct(sorted, [&](double value, double w, size_t number, size_t used) {
        const double y = value - first;
        const double nw = weight + w, ns = sum + w * y, nq = squares + w * y * y;
        if (!out.bins || apart(first, value) || nw * nq - ns * ns > most) {
            ++out.bins;
            if (out.bins > limit) return false;
            first = value;
            weight = w;
            sum = squares = 0;
            emit(value, w, number, true);
        } else {
            weight = nw;
            sum = ns;
            squares = nq;
            emit(value, w, number, false);
        }
        out.used = used;
        return true;
    });
    return out;
}

// The least bound on weight * squares with which there are at most `limit` bins, roughly: with 85 % of them or more if
// ties allow.
double find_bound(const Sorted &sorted, size_t limit) {
    const double n = static_cast<double>(sorted.size()), wanted = 0.95 * static_cast<double>(limit);
    const double range = static_cast<double>(sorted.value(sorted.size() - 1)) - static_cast<double>(sorted.value(0));
    double total = 0;
    for (size_t i = 0; i < sorted.size(); ++i) total += sorted.weight(i);
    // In bins of width h with a share p of the weight, weight * squares is (p total h)^2 / 12.
    double low = 0, high = std::numeric_limits<double>::infinity();
    double bound = std::pow(total * range / (wanted * wanted), 2) / 12, found = high;
    for (unsigned i = 0; i < 40; ++i) {
        const Cut made = cut(sorted, bound, limit, [](double, double, size_t, bool) {});
        double bins = static_cast<double>(made.bins);
        if (made.bins <= limit) {
            found = high = bound;
            if (bins >= 0.85 * static_cast<double>(limit)) break;
        } else {
            low = bound;
            bins *= std::min(4.0, n / static_cast<double>(made.used));
        }
        // Bins are as the inverse fourth root of the bound.
        double next = bound * std::pow(bins / wanted, 4);
        if (!(next > low && next < high))
            next = low > 0 && std::isfinite(high) ? std::sqrt(low) * std::sqrt(high) : low > 0 ? low * 16 : high / 16;
        if (low > 0 && high < low * 1.01) break;
        bound = next;
    }
    return found;
}

NC_CLONES void candidates(const double *before, const double *weight, const double *distance, const double *squares,
                          size_t n, double last_weight, double last_distance, double last_squares, double *out) {
    for (size_t i = 0; i < n; ++i) {
        const double d = distance[i] + last_distance;
        const double joint = d * d * (weight[i] * (last_weight / (weight[i] + last_weight)));
        out[i] = before[i] + (squares[i] + last_squares + joint);
    }
}

}  // namespace

void merge(Group &to, const Group &other) {
    const double weight = to.weight + other.weight;
    const double share = other.weight / weight, apart = other.mean - to.mean;
    to.squares += other.squares + apart * apart * (to.weight * share);
    to.mean += apart * share;
    to.weight = weight;
}

Sorted::Sorted(const float *values, const float *importance, size_t n) {
    if (!importance) {
        keys_.resize(n);
        for (size_t i = 0; i < n; ++i) keys_[i] = key_of(values[i]);
        radix_sort(keys_, 0);
        return;
    }
    pairs_.resize(n);
    for (size_t i = 0; i < n; ++i) {
        uint32_t bits;
        std::memcpy(&bits, &importance[i], sizeof bits);
        pairs_[i] = uint64_t{key_of(values[i])} << 32 | bits;
    }
    radix_sort(pairs_, 32);
}

float Sorted::value(size_t i) const {
    return value_of(pairs_.empty() ? keys_[i] : static_cast<uint32_t>(pairs_[i] >> 32));
}

double Sorted::weight(size_t i) const {
    if (pairs_.empty()) return 1;
    const uint32_t bits = static_cast<uint32_t>(pairs_[i]);
    float weight;
    std::memcpy(&weight, &bits, sizeof weight);
    return static_cast<double>(weight);
}

Atoms collapse(const Sorted &sorted, size_t most) {
    Atoms out;
    for_each_distinct(sorted, [&](double value, double weight, size_t number, size_t) {
        if (out.groups.size() == most) {
            out.exact = false;
            return false;
        }
        out.groups.push_back({weight, value, 0});
        out.counts.push_back(static_cast<double>(number));
        return true;
    });
    if (out.exact) return out;
    out.groups.clear();
    out.counts.clear();
    cut(sorted, find_bound(sorted, most), most, [&](double value, double weight, size_t number, bool begins) {
        if (begins) {
            out.groups.push_back({weight, value, 0});
            out.counts.push_back(static_cast<double>(number));
        } else {
            merge(out.groups.back(), {weight, value, 0});
            out.counts.back() += static_cast<double>(number);
        }
    });
    for (const Group &group : out.groups)
        out.looseness = std::max(out.looseness, std::sqrt(group.weight * group.squares));
    return out;
}

Runs::Runs(const std::vector<Group> &atoms) : atoms_(atoms) {
    const size_t n = atoms_.size();
    for (size_t half = 1; half < n; half *= 2) {
        Level level{std::vector<double>(n), std::vector<double>(n), std::vector<double>(n)};
        for (size_t middle = half; middle < n; middle += 2 * half) {
            const double centre = atoms_[middle].mean;
            auto fill = [&](Group &sum, size_t i) {
                const Group atom{atoms_[i].weight, std::fabs(atoms_[i].mean - centre), atoms_[i].squares};
                if (sum.weight > 0)
                    merge(sum, atom);
                else
                    sum = atom;
                level.weight[i] = sum.weight;
                level.distance[i] = sum.mean;
                level.squares[i] = sum.squares;
            };
            Group left, right;
            for (size_t i = middle; i-- > middle - half;) fill(left, i);
            for (size_t i = middle; i < std::min(middle + half, n); ++i) fill(right, i);
        }
        levels_.push_back(std::move(level));
    }
}

namespace {

// The highest bit in which two numbers differ.
unsigned level_of(size_t a, size_t b) {
#if defined(__GNUC__)
    return 63u - static_cast<unsigned>(__builtin_clzll(static_cast<unsigned long long>(a ^ b)));
#else
    unsigned level = 0;
    for (size_t x = (a ^ b) >> 1; x; x >>= 1) ++level;
    return level;
#endif
}

}  // namespace

Group Runs::sum(size_t first, size_t last) const {
    if (first == last) return atoms_[first];
    const unsigned h = level_of(first, last);
    const Level &level = levels_[h];
    const double centre = atoms_[last >> h << h].mean;
    const double left = level.weight[first], right = level.weight[last], weight = left + right;
    const double d = level.distance[first] + level.distance[last];
    return {weight, centre + (level.distance[last] * (right / weight) - level.distance[first] * (left / weight)),
            level.squares[first] + level.squares[last] + d * d * (left * (right / weight))};
}

size_t Runs::best_cut(const double *before, size_t low, size_t high, size_t last, double *least) const {
    constexpr size_t block = 128;
    double sums[block];
    double best = std::numeric_limits<double>::infinity();
    size_t at = low;
    for (size_t i = low; i <= high && i < last;) {
        const unsigned h = level_of(i, last);
        const Level &level = levels_[h];
        const size_t end = std::min({high + 1, last >> h << h, i + block});
        candidates(before + i, &level.weight[i], &level.distance[i], &level.squares[i], end - i, level.weight[last],
                   level.distance[last], level.squares[last], sums);
        for (size_t j = i; j < end; ++j)
            if (sums[j - i] < best) {
                best = sums[j - i];
                at = j;
            }
        i = end;
    }
    if (high == last && before[last] + atoms_[last].squares < best) {
        best = before[last] + atoms_[last].squares;
        at = last;
    }
    *least = best;
    return at;
}

namespace {

constexpr size_t most_blocks = size_t{1} << 14;

size_t block_length(size_t n) { return std::max<size_t>(64, (n + most_blocks - 1) / most_blocks); }

std::vector<Group> block_sums(const Sorted &sorted, size_t length) {
    std::vector<Group> out;
    for (size_t i = 0; i < sorted.size(); ++i) {
        const Group one{1, static_cast<double>(sorted.value(i)), 0};
        if (i % length)
            merge(out.back(), one);
        else
            out.push_back(one);
    }
    return out;
}

}  // namespace

Blocks::Blocks(const Sorted &sorted)
    : sorted_(sorted), length_(block_length(sorted.size())), runs_(block_sums(sorted, length_)) {}

Group Blocks::sum(size_t first, size_t end) const {
    Group out{1, static_cast<double>(sorted_.value(first)), 0};
    size_t i = first + 1;
    auto one_by_one = [&](size_t to) {
        for (; i < to; ++i) merge(out, {1, static_cast<double>(sorted_.value(i)), 0});
    };
    const size_t block = (i + length_ - 1) / length_, last = end / length_;  // whole blocks: block ... last - 1
    if (block < last) {
        one_by_one(block * length_);
        merge(out, runs_.sum(block, last - 1));
        i = last * length_;
    }
    one_by_one(end);
    return out;
}

size_t Blocks::count_up_to(double x) const {
    size_t low = 0, high = sorted_.size();
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (static_cast<double>(sorted_.value(middle)) <= x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

}  // namespace neuralcodec
