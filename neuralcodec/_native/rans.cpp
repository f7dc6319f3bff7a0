// Codes symbols with rANS (docs/format.md, section 11).
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "common.hpp"

namespace neuralcodec {

namespace {

// All tiles of a matrix of symbols, one after the other, and the bytes of each tile.
nb::tuple pack_rans(In2<uint8_t> symbols, size_t tile, In1<uint32_t> frequencies, unsigned m) {
    if (m < 8 || m > 12) throw std::invalid_argument("m: 8 to 12 expected");
    const size_t count = frequencies.size();
    if (count < 1 || count > 256) throw std::invalid_argument("frequencies: 1 to 256 expected");
    std::array<uint32_t, 256> f{}, c{};
    uint64_t sum = 0;
    for (size_t i = 0; i < count; ++i) {
        f[i] = frequencies.data()[i];
        c[i] = static_cast<uint32_t>(sum);
        sum += f[i];
        if (sum > 1u << m) break;
    }
    if (sum != 1u << m) throw std::invalid_argument("frequencies: a sum of 2^m expected");
    const uint8_t *data = symbols.data();
    Bytes out;
    std::vector<uint32_t> sizes;
    bool absent = false;
    {
        nb::gil_scoped_release release;
        std::vector<uint8_t> words;
        for_each_tile(symbols.shape(0), symbols.shape(1), tile, [&](size_t at, size_t n) {
            // From the last symbol to the first, so that the decoder meets them in order; words fill from the end.
            words.resize(4 + 2 * n);  // the state, and a word for each symbol at most
            uint8_t *p = words.data() + words.size();
            uint32_t x = 0;
            for (size_t i = n; i-- > 0;) {
                const uint32_t s = data[at + i], frequency = f[s];
                if (!frequency) {
                    absent = true;
                    return;
                }
                // The decoder's state after this symbol must stay below 2^32 before it: frequency * 2^(32 - m).
                if (static_cast<uint64_t>(x) >= static_cast<uint64_t>(frequency) << (32 - m)) {
                    *--p = static_cast<uint8_t>(x >> 8);
                    *--p = static_cast<uint8_t>(x);
                    x >>= 16;
                }
                x = (x / frequency << m) + x % frequency + c[s];
            }
            // The high half comes first; a half that is 0 is not there.
            for (unsigned shift = x ? 0 : 32; shift < 32 && x >> shift; shift += 16) {
                *--p = static_cast<uint8_t>(x >> (shift + 8));
                *--p = static_cast<uint8_t>(x >> shift);
            }
            const size_t size = static_cast<size_t>(words.data() + words.size() - p);
            std::memcpy(out.reserve(size), p, size);
            out.advance(size);
            sizes.push_back(static_cast<uint32_t>(size));
        });
    }
    if (absent) throw std::invalid_argument("a symbol has the frequency 0");
    Buffer<uint32_t> array(sizes.size());
    std::copy(sizes.begin(), sizes.end(), array.get());
    return nb::make_tuple(out.bytes(), array.array());
}

}  // namespace

void bind_rans(nb::module_ &m) {
    m.def("pack_rans", &pack_rans, nb::arg("symbols"), nb::arg("tile"), nb::arg("frequencies"), nb::arg("m"));
}

}  // namespace neuralcodec
