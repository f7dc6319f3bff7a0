#include "pack.hpp"

#include <vector>

namespace neuralcodec {

CodeTable::CodeTable(const uint8_t *symbols, const uint8_t *lengths, size_t n) : constant_(n == 1) {
    if (n < 1 || n > 256) throw std::invalid_argument("1 to 256 symbols expected");
    constexpr uint32_t absent = 0x80000000u;
    entries_.fill(absent);
    uint32_t code = 0, kraft = 0;
    for (size_t i = 0; i < n; ++i) {
        const unsigned length = lengths[i];
        if (entries_[symbols[i]] != absent) throw std::invalid_argument("a symbol is listed twice");
        if (constant_) {
            if (length) throw std::invalid_argument("the code of a single symbol has no bits");
            entries_[symbols[i]] = 0;
            return;
        }
        if (length < 1 || length > 15 || (i && length < lengths[i - 1]))
            throw std::invalid_argument("lengths: 1 to 15, not descending, expected");
        if (i) code = (code + 1) << (length - lengths[i - 1]);
        kraft += 1u << (15 - length);
        uint32_t reversed = 0;
        for (unsigned b = 0; b < length; ++b) reversed |= (code >> b & 1) << (length - 1 - b);
        entries_[symbols[i]] = (reversed & 0xFFFF) | length << 16;
    }
    if (kraft != 1u << 15) throw std::invalid_argument("lengths: not a complete prefix code");
}

CodeTable::CodeTable(const In1<uint8_t> &symbols, const In1<uint8_t> &lengths)
    : CodeTable(symbols.data(), lengths.data(), symbols.size()) {
    if (symbols.size() != lengths.size()) throw std::invalid_argument("as many lengths as symbols expected");
}

namespace {

// Sizes of tiles, on their way to numpy.
Out1<uint32_t> as_array(const std::vector<uint32_t> &sizes) {
    Buffer<uint32_t> out(sizes.size());
    if (!sizes.empty()) std::memcpy(out.get(), sizes.data(), sizes.size() * sizeof(uint32_t));
    return out.array();
}

nb::tuple pack_levels(In2<int8_t> levels, size_t tile, In1<uint8_t> symbols, In1<uint8_t> lengths, bool pairs,
                      bool zeros) {
    if (symbols.size() != lengths.size()) throw std::invalid_argument("as many lengths as symbols expected");
    if (pairs && zeros) throw std::invalid_argument("pairs or zeros, not both, expected");
    CodeTable table(symbols, lengths);
    const size_t rows = levels.shape(0), cols = levels.shape(1);
    const int8_t *data = levels.data();
    Bytes out;
    std::vector<uint32_t> sizes;
    {
        nb::gil_scoped_release release;
        bool wide = false;
        std::vector<uint8_t> parsed;
        for_each_tile(rows, cols, tile, [&](size_t at, size_t n) {
            const int8_t *p = data + at;
            uint8_t *to = out.reserve(CodeTable::capacity(n + 1));
            size_t size;
            if (pairs) {
                for (size_t i = 0; i < n; ++i) wide |= static_cast<uint8_t>(p[i] + 8) > 15;
                size = table.pack(
                    n / 2, to,
                    [p](size_t i) { return static_cast<size_t>((p[2 * i] & 15) | (p[2 * i + 1] & 15) << 4); },
                    n % 2 ? p[n - 1] & 15 : -1);
            } else if (zeros) {
                for (size_t i = 0; i < n; ++i) wide |= p[i] == -128;
                parse_zeros(p, n, [&](uint8_t symbol) { parsed.push_back(symbol); });
                size = table.pack(parsed.size(), to, [&](size_t i) { return static_cast<size_t>(parsed[i]); });
                parsed.clear();
            } else {
                size = table.pack(n, to, [p](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(p[i])); });
            }
            out.advance(size);
            sizes.push_back(static_cast<uint32_t>(size));
        });
        if (wide) throw std::invalid_argument(pairs ? "pairs: levels of -8 to 7 expected" : "zeros: -127 to 127 expected");
        if (table.absent()) throw std::invalid_argument("a level has no code");
    }
    return nb::make_tuple(out.bytes(), as_array(sizes));
}

// A bit string of fields of `width` bits.
void put_fields(const uint32_t *values, size_t n, uint32_t minus, unsigned width, std::vector<uint8_t> &out) {
    uint64_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < n; ++i) {
        const uint32_t v = values[i] - minus;
        if (width < 32 && v >> width) throw std::invalid_argument("a value does not fit its field");
        acc |= static_cast<uint64_t>(v) << bits;
        for (bits += width; bits >= 8; bits -= 8, acc >>= 8) out.push_back(static_cast<uint8_t>(acc));
    }
    if (bits) out.push_back(static_cast<uint8_t>(acc));
}

nb::bytes pack_bits(In1<uint32_t> values, unsigned width) {
    if (width > 32) throw std::invalid_argument("width: 0 to 32 expected");
    std::vector<uint8_t> out;
    put_fields(values.data(), values.size(), 0, width, out);
    return nb::bytes(out.data(), out.size());
}

// docs/format.md, section 4.1.
nb::bytes tile_index(In1<uint32_t> sizes) {
    const size_t n = sizes.size();
    std::vector<uint8_t> out;
    if (n > 1) {
        const uint32_t *size = sizes.data();
        uint32_t least = size[0], most = size[0];
        uint64_t total = 0;
        for (size_t i = 0; i < n; ++i) {
            least = size[i] < least ? size[i] : least;
            most = size[i] > most ? size[i] : most;
            total += size[i];
        }
        unsigned width = 0;
        while (width < 32 && (most - least) >> width) ++width;
        if (width > 24) throw std::invalid_argument("tiles differ too much in size");
        uint32_t v = least;
        for (; v > 127; v >>= 7) out.push_back(static_cast<uint8_t>((v & 127) | 128));
        out.push_back(static_cast<uint8_t>(v));
        out.push_back(static_cast<uint8_t>(width));
        if (n > 16) {
            const uint64_t narrow = (n - 1) / 16 * 4 + (uint64_t{n} * width + 7) / 8 + total;
            const unsigned bytes = narrow >> 32 ? 8 : 4;
            uint64_t offset = 0;
            for (size_t i = 0; i < n; ++i) {
                if (i && i % 16 == 0)
                    for (unsigned b = 0; b < bytes; ++b) out.push_back(static_cast<uint8_t>(offset >> (8 * b)));
                offset += size[i];
            }
        }
        put_fields(size, n, least, width, out);
    }
    return nb::bytes(out.data(), out.size());
}

}  // namespace

void bind_pack(nb::module_ &m) {
    m.def("pack_levels", &pack_levels, nb::arg("levels"), nb::arg("tile"), nb::arg("symbols"), nb::arg("lengths"),
          nb::arg("pairs") = false, nb::arg("zeros") = false);
    m.def("pack_bits", &pack_bits, nb::arg("values"), nb::arg("width"));
    m.def("tile_index", &tile_index, nb::arg("sizes"));
}

}  // namespace neuralcodec
