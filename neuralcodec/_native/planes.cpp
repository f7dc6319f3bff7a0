// Lossless mode: elements cut in planes of bytes, and tiles of stored and coded planes (docs/format.md, section 6.2).
#include <nanobind/stl/pair.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "pack.hpp"

namespace neuralcodec {

// Cuts n elements in planes, the most significant byte first. out: size planes of n bytes.
NC_CLONES void split2(const uint8_t *in, size_t n, unsigned rotate, uint8_t *out) {
    uint8_t *high = out, *low = out + n;
    for (size_t i = 0; i < n; ++i) {
        uint16_t v;
        std::memcpy(&v, in + 2 * i, 2);
        v = static_cast<uint16_t>(static_cast<unsigned>(v << rotate) | (rotate ? v >> 15 : 0));
        high[i] = static_cast<uint8_t>(v >> 8);
        low[i] = static_cast<uint8_t>(v);
    }
}

NC_CLONES void split4(const uint8_t *in, size_t n, unsigned rotate, uint8_t *out) {
    for (size_t i = 0; i < n; ++i) {
        uint32_t v;
        std::memcpy(&v, in + 4 * i, 4);
        v = v << rotate | (rotate ? v >> 31 : 0);
        out[i] = static_cast<uint8_t>(v >> 24);
        out[n + i] = static_cast<uint8_t>(v >> 16);
        out[2 * n + i] = static_cast<uint8_t>(v >> 8);
        out[3 * n + i] = static_cast<uint8_t>(v);
    }
}

NC_CLONES void split8(const uint8_t *in, size_t n, unsigned rotate, uint8_t *out) {
    for (size_t i = 0; i < n; ++i) {
        uint64_t v;
        std::memcpy(&v, in + 8 * i, 8);
        v = v << rotate | (rotate ? v >> 63 : 0);
        for (size_t p = 0; p < 8; ++p) out[p * n + i] = static_cast<uint8_t>(v >> (56 - 8 * p));
    }
}

namespace {

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "planes.cpp reads elements as little-endian words"
#endif

Out2<uint8_t> split_planes(In1<uint8_t> data, size_t itemsize, bool rotate) {
    if (itemsize != 1 && itemsize != 2 && itemsize != 4 && itemsize != 8)
        throw std::invalid_argument("itemsize: 1, 2, 4 or 8 expected");
    if (data.size() % itemsize) throw std::invalid_argument("data: whole elements expected");
    if (rotate && itemsize == 1) throw std::invalid_argument("elements of one byte are not rotated");
    const size_t n = data.size() / itemsize;
    Buffer<uint8_t> out(data.size());
    {
        nb::gil_scoped_release release;
        const unsigned by = rotate ? 1 : 0;
        switch (itemsize) {
            case 1: std::copy_n(data.data(), n, out.get()); break;
            case 2: split2(data.data(), n, by, out.get()); break;
            case 4: split4(data.data(), n, by, out.get()); break;
            default: split8(data.data(), n, by, out.get());
        }
    }
    return out.matrix(itemsize, n);
}

nb::tuple pack_planes(In2<uint8_t> planes, size_t rows, size_t cols, size_t tile, nb::list codes) {
    const size_t count = planes.shape(0), n = planes.shape(1);
    if (rows * cols != n) throw std::invalid_argument("planes: rows * cols bytes each expected");
    if (codes.size() != count) throw std::invalid_argument("codes: one for each plane expected");
    std::vector<std::optional<CodeTable>> tables(count);
    for (size_t p = 0; p < count; ++p) {
        if (codes[p].is_none()) continue;
        auto [symbols, lengths] = nb::cast<std::pair<In1<uint8_t>, In1<uint8_t>>>(codes[p]);
        if (symbols.size() != lengths.size()) throw std::invalid_argument("as many lengths as symbols expected");
        tables[p].emplace(symbols, lengths);
    }
    Bytes out;
    std::vector<uint32_t> sizes;
    {
        nb::gil_scoped_release release;
        const uint8_t *data = planes.data();
        for_each_tile(rows, cols, tile, [&](size_t at, size_t length) {
            const size_t before = out.size();
            for (size_t p = 0; p < count; ++p)
                if (!tables[p]) {
                    std::memcpy(out.reserve(length), data + p * n + at, length);
                    out.advance(length);
                }
            for (size_t p = 0; p < count; ++p)
                if (tables[p]) {
                    const uint8_t *from = data + p * n + at;
                    uint8_t *to = out.reserve(CodeTable::capacity(length));
                    out.advance(tables[p]->pack(length, to, [from](size_t i) { return static_cast<size_t>(from[i]); }));
                }
            sizes.push_back(static_cast<uint32_t>(out.size() - before));
        });
        for (const auto &table : tables)
            if (table && table->absent()) throw std::invalid_argument("a byte has no code");
    }
    Buffer<uint32_t> array(sizes.size());
    std::copy(sizes.begin(), sizes.end(), array.get());
    return nb::make_tuple(out.bytes(), array.array());
}

}  // namespace

void bind_planes(nb::module_ &m) {
    m.def("split_planes", &split_planes, nb::arg("data"), nb::arg("itemsize"), nb::arg("rotate"));
    m.def("pack_planes", &pack_planes, nb::arg("planes"), nb::arg("rows"), nb::arg("cols"), nb::arg("tile"),
          nb::arg("codes"));
}

}  // namespace neuralcodec
