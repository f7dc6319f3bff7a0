// Lengths of the codes of an optimal prefix code whose longest code is limited.
//
// Package-merge: L. L. Larmore and D. S. Hirschberg, "A fast algorithm for optimal length-limited Huffman codes",
// J. ACM 37(3), 1990; without a limit in force it gives the lengths of D. A. Huffman, "A method for the construction of
// minimum-redundancy codes", Proc. IRE 40(9), 1952. Order-restricted tables pool neighbours first (PAV): M. Ayer et
// al., "An empirical distribution function for sampling with incomplete information", Ann. Math. Stat. 26(4), 1955.
#include <algorithm>
#include <numeric>
#include <vector>

#include "common.hpp"

namespace neuralcodec {
namespace {

constexpr unsigned longest = 15;
constexpr int64_t heaviest = int64_t{1} << 38;  // as a count: 256 of them, 12 more bits and 15 levels make 2^62

// weights: ascending, at least two. The lengths come out descending.
void package_merge(const std::vector<uint64_t> &weights, unsigned limit, std::vector<uint8_t> &lengths) {
    const size_t n = weights.size();
    // merged[l]: the list of level l, of single symbols and of pairs from the list before; what must be kept of each
    // entry is only whether it is a symbol, because symbols enter in ascending order.
    std::vector<std::vector<uint8_t>> is_symbol(limit);
    std::vector<uint64_t> list = weights, next;
    is_symbol[0].assign(n, 1);
    for (unsigned l = 1; l < limit; ++l) {
        next.clear();
        is_symbol[l].clear();
        size_t s = 0, p = 0;
        const size_t packages = list.size() / 2;
        while (s < n || p < packages) {
            const uint64_t package = p < packages ? list[2 * p] + list[2 * p + 1] : 0;
            // A symbol before a package of equal weight: shorter codes, and one answer.
            if (s < n && (p == packages || weights[s] <= package)) {
                next.push_back(weights[s++]);
                is_symbol[l].push_back(1);
            } else {
                next.push_back(package);
                is_symbol[l].push_back(0);
                ++p;
            }
        }
        list.swap(next);
    }
    // The first 2n - 2 entries of the last list make the code: each symbol met is one bit more on that symbol.
    lengths.assign(n, 0);
    size_t take = 2 * n - 2;
    for (unsigned l = limit; l-- > 0;) {
        size_t symbols = 0;
        for (size_t i = 0; i < take; ++i) symbols += is_symbol[l][i];
        for (size_t i = 0; i < symbols; ++i) ++lengths[i];
        take = 2 * (take - symbols);
    }
}

void check(size_t n, unsigned limit) {
    if (limit < 1 || limit > longest) throw std::invalid_argument("limit: 1 to 15 expected");
    if (n > 256) throw std::invalid_argument("at most 256 symbols expected");
}

// Lengths for weights > 0 at the places given; other places keep 0.
void assign(const std::vector<uint64_t> &weights, const std::vector<uint32_t> &places, unsigned limit, uint8_t *out) {
    if (places.size() < 2) return;  // a constant code has no bits
    if (places.size() > size_t{1} << limit) throw std::invalid_argument("limit: too few bits for so many symbols");
    std::vector<uint32_t> order(places.size());
    std::iota(order.begin(), order.end(), 0u);
    // Later places first among equals: they get the longer codes.
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return weights[a] != weights[b] ? weights[a] < weights[b] : a > b; });
    std::vector<uint64_t> sorted(order.size());
    for (size_t i = 0; i < order.size(); ++i) sorted[i] = weights[order[i]];
    std::vector<uint8_t> lengths;
    package_merge(sorted, limit, lengths);
    for (size_t i = 0; i < order.size(); ++i) out[places[order[i]]] = lengths[i];
}

void check_count(int64_t count) {
    if (count < 0 || count > heaviest) throw std::invalid_argument("counts: 0 to 2^38 expected");
}

Out1<uint8_t> code_lengths(In1<int64_t> counts, unsigned limit) {
    const size_t n = counts.size();
    check(n, limit);
    std::vector<uint64_t> weights;
    std::vector<uint32_t> places;
    for (size_t i = 0; i < n; ++i) {
        check_count(counts.data()[i]);
        if (!counts.data()[i]) continue;
        weights.push_back(static_cast<uint64_t>(counts.data()[i]));
        places.push_back(static_cast<uint32_t>(i));
    }
    Buffer<uint8_t> out(n);
    std::fill_n(out.get(), n, uint8_t{0});
    assign(weights, places, limit, out.get());
    return out.array();
}

Out1<uint8_t> monotone_code_lengths(In1<int64_t> counts, unsigned limit) {
    const size_t n = counts.size();
    check(n, limit);
    // Blocks of pooled neighbours with averages that descend.
    struct Pool {
        uint64_t sum, size;
    };
    std::vector<Pool> pools;
    for (size_t i = 0; i < n; ++i) {
        check_count(counts.data()[i]);
        Pool pool{static_cast<uint64_t>(counts.data()[i]), 1};
        // The average before is not above this one's: pool them. Products stay below 2^54.
        while (!pools.empty() && pools.back().sum * pool.size <= pool.sum * pools.back().size) {
            pool.sum += pools.back().sum;
            pool.size += pools.back().size;
            pools.pop_back();
        }
        pools.push_back(pool);
    }
    std::vector<uint64_t> weights;
    std::vector<uint32_t> places(n);
    std::iota(places.begin(), places.end(), 0u);
    for (const Pool &pool : pools)
        weights.insert(weights.end(), pool.size, std::max<uint64_t>((pool.sum << 12) / pool.size, 1));
    Buffer<uint8_t> out(n);
    std::fill_n(out.get(), n, uint8_t{0});
    assign(weights, places, limit, out.get());
    return out.array();
}

}  // namespace

void bind_codelengths(nb::module_ &m) {
    m.def("code_lengths", &code_lengths, nb::arg("counts"), nb::arg("limit") = longest);
    m.def("monotone_code_lengths", &monotone_code_lengths, nb::arg("counts"), nb::arg("limit") = longest);
}

}  // namespace neuralcodec
