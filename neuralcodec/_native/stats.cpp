// One pass over an array: ranges, errors, histograms.
#include <array>
#include <cmath>
#include <cstring>

#include "pack.hpp"

namespace neuralcodec {

// Largest magnitude as bits (of positive floats the order of the bits is the order of the values, so this is exact and
// needs no rule for NaN), and how many are infinite or NaN.
NC_CLONES void scan_bits(const uint32_t *w, size_t n, uint32_t *largest, size_t *nonfinite) {
    constexpr size_t block = 1 << 20;  // counts of a lane stay far below 2^32
    uint32_t top = 0;
    size_t bad = 0;
    for (size_t at = 0; at < n; at += block) {
        const size_t end = n - at < block ? n : at + block;
        int32_t m = 0;
        uint32_t count = 0;
        for (size_t i = at; i < end; ++i) {
            const int32_t magnitude = static_cast<int32_t>(w[i] & 0x7FFFFFFFu);
            const bool finite = magnitude < 0x7F800000;
            const int32_t kept = finite ? magnitude : 0;
            count += finite ? 0u : 1u;
            m = kept > m ? kept : m;
        }
        top = static_cast<uint32_t>(m) > top ? static_cast<uint32_t>(m) : top;
        bad += count;
    }
    *largest = top;
    *nonfinite = bad;
}

NC_CLONES double sum_of_squares(const float *w, size_t n) {
    double acc[lanes] = {};
    size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (size_t j = 0; j < lanes; ++j) {
            const double x = w[i + j];
            acc[j] += x * x;
        }
    for (size_t j = 0; i + j < n; ++j) {
        const double x = w[i + j];
        acc[j] += x * x;
    }
    double sum = 0;
    for (double a : acc) sum += a;
    return sum;
}

NC_CLONES void errors(const float *a, const float *b, size_t n, double out[3]) {
    double sse[lanes] = {}, ss[lanes] = {};
    float top[lanes] = {};
    size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (size_t j = 0; j < lanes; ++j) {
            const double x = a[i + j];
            const double e = x - static_cast<double>(b[i + j]);
            const float magnitude = std::fabs(a[i + j] - b[i + j]);
            sse[j] += e * e;
            ss[j] += x * x;
            top[j] = magnitude > top[j] ? magnitude : top[j];
        }
    for (size_t j = 0; i + j < n; ++j) {
        const double x = a[i + j];
        const double e = x - static_cast<double>(b[i + j]);
        const float magnitude = std::fabs(a[i + j] - b[i + j]);
        sse[j] += e * e;
        ss[j] += x * x;
        top[j] = magnitude > top[j] ? magnitude : top[j];
    }
    out[0] = out[1] = out[2] = 0;
    for (size_t j = 0; j < lanes; ++j) {
        out[0] += sse[j];
        out[1] += ss[j];
        out[2] = top[j] > out[2] ? static_cast<double>(top[j]) : out[2];
    }
}

namespace {

// Four tables, so that runs of equal bytes do not wait for one counter.
void count_bytes(const uint8_t *data, size_t n, int64_t *out) {
    std::array<std::array<uint32_t, 256>, 4> part;
    std::memset(out, 0, 256 * sizeof *out);
    constexpr size_t block = size_t{1} << 30;
    for (size_t at = 0; at < n; at += block) {
        const size_t end = n - at < block ? n : at + block;
        for (auto &p : part) p.fill(0);
        size_t i = at;
        for (; i + 8 <= end; i += 8) {
            uint64_t word;
            std::memcpy(&word, data + i, 8);
            for (unsigned j = 0; j < 8; ++j) ++part[j % 4][(word >> (8 * j)) & 255];
        }
        for (; i < end; ++i) ++part[0][data[i]];
        for (size_t s = 0; s < 256; ++s)
            out[s] += static_cast<int64_t>(part[0][s]) + part[1][s] + part[2][s] + part[3][s];
    }
}

nb::tuple scan(In<float> w) {
    uint32_t bits = 0;
    size_t bad = 0;
    double squares = 0;
    {
        nb::gil_scoped_release release;
        scan_bits(reinterpret_cast<const uint32_t *>(w.data()), w.size(), &bits, &bad);
        squares = sum_of_squares(w.data(), w.size());
    }
    float largest;
    std::memcpy(&largest, &bits, sizeof largest);
    return nb::make_tuple(static_cast<double>(largest), squares, bad);
}

nb::tuple error_stats(In<float> original, In<float> decoded) {
    if (original.size() != decoded.size()) throw std::invalid_argument("arrays of equal size expected");
    double out[3];
    {
        nb::gil_scoped_release release;
        errors(original.data(), decoded.data(), original.size(), out);
    }
    return nb::make_tuple(out[1], out[0], out[2]);
}

Out1<int64_t> histogram(In<uint8_t> data) {
    Buffer<int64_t> out(256);
    {
        nb::gil_scoped_release release;
        count_bytes(data.data(), data.size(), out.get());
    }
    return out.array();
}

Out1<int64_t> pair_histogram(In2<int8_t> levels, size_t tile) {
    Buffer<int64_t> out(256);
    const int8_t *data = levels.data();
    const size_t rows = levels.shape(0), cols = levels.shape(1);
    {
        nb::gil_scoped_release release;
        std::array<std::array<int64_t, 256>, 2> part{};
        auto key = [](int a, int b) { return static_cast<size_t>((a & 15) | (b & 15) << 4); };
        for_each_tile(rows, cols, tile, [&](size_t at, size_t n) {
            const int8_t *p = data + at;
            size_t i = 0;
            for (; i + 4 <= n; i += 4) {
                ++part[0][key(p[i], p[i + 1])];
                ++part[1][key(p[i + 2], p[i + 3])];
            }
            for (; i < n; i += 2) ++part[0][key(p[i], i + 1 < n ? p[i + 1] : 0)];
        });
        for (size_t s = 0; s < 256; ++s) out.get()[s] = part[0][s] + part[1][s];
    }
    return out.array();
}

Out1<int64_t> zeros_histogram(In2<int8_t> levels, size_t tile) {
    Buffer<int64_t> out(256);
    {
        nb::gil_scoped_release release;
        std::array<int64_t, 256> counts{};
        const int8_t *data = levels.data();
        for_each_tile(levels.shape(0), levels.shape(1), tile,
                      [&](size_t at, size_t n) { parse_zeros(data + at, n, [&](uint8_t s) { ++counts[s]; }); });
        for (size_t s = 0; s < 256; ++s) out.get()[s] = counts[s];
    }
    return out.array();
}

}  // namespace

void bind_stats(nb::module_ &m) {
    m.def("scan", &scan, nb::arg("weights"));
    m.def("error_stats", &error_stats, nb::arg("original"), nb::arg("decoded"));
    m.def("histogram", &histogram, nb::arg("data"));
    m.def("zeros_histogram", &zeros_histogram, nb::arg("levels"), nb::arg("tile"));
    m.def("pair_histogram", &pair_histogram, nb::arg("levels"), nb::arg("tile"));
}

}  // namespace neuralcodec
