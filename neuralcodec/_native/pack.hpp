// Writes prefix codes into a bit string, least significant bit first (docs/format.md, sections 1, 6 and 7).
#pragma once

#include <array>
#include <cstring>

#include "common.hpp"

namespace neuralcodec {

// For each byte: the code with its bits reversed (a code is sent top bit first, the string fills from the low end) and
// its length. A byte without a code has `absent` set.
class CodeTable {
public:
    // symbols: bytes in order of rank; lengths: of their codes, not descending. Throws if that is no complete code.
    CodeTable(const uint8_t *symbols, const uint8_t *lengths, size_t n);
    CodeTable(const In1<uint8_t> &symbols, const In1<uint8_t> &lengths);

    // Codes of n symbols from get(0 .. n-1), then of `tail` unless it is negative; returns bytes written. out has room
    // for capacity(n + 1). absent() must be asked afterwards: it is cheaper than a test for each symbol.
    template <typename Get>
    size_t pack(size_t n, uint8_t *out, Get &&get, int tail = -1) {
        uint32_t seen = 0;
        uint8_t *p = out;
        uint64_t acc = 0;
        unsigned bits = 0;
        auto put = [&](uint32_t entry) {
            acc |= static_cast<uint64_t>(entry & 0xFFFF) << bits;
            bits += (entry >> 16) & 15;
            seen |= entry;
        };
        auto flush = [&] {
            store(p, acc);
            p += bits >> 3;
            acc >>= bits & 56;
            bits &= 7;
        };
        size_t i = 0;
        for (; i + 3 <= n; i += 3) {  // 7 bits left over and three codes of 15 fit in 64, four do not
            put(entries_[get(i)]);
            put(entries_[get(i + 1)]);
            put(entries_[get(i + 2)]);
            flush();
        }
        for (; i < n; ++i) put(entries_[get(i)]);
        flush();
        if (tail >= 0) put(entries_[static_cast<size_t>(tail)]);
        flush();
        store(p, acc);
        seen_ |= seen;
        return static_cast<size_t>(p - out) + (bits ? 1 : 0);
    }

    bool constant() const { return constant_; }
    bool absent() const { return seen_ >> 31; }
    // Bytes that n codes may take, with slack for stores of whole words.
    static size_t capacity(size_t n) { return (n * 15 + 7) / 8 + 16; }

private:
    static void store(uint8_t *p, uint64_t word) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        std::memcpy(p, &word, 8);
    }

    std::array<uint32_t, 256> entries_;
    uint32_t seen_ = 0;
    bool constant_;
};

// Two levels 0 as one symbol, where a table has zeros.
constexpr uint8_t two_zeros = 0x80;

// The symbols of n levels with zeros: each two levels 0 that follow each other are one.
template <typename Put>
void parse_zeros(const int8_t *p, size_t n, Put &&put) {
    for (size_t i = 0; i < n; ++i) {
        if (p[i] == 0 && i + 1 < n && p[i + 1] == 0) {
            put(two_zeros);
            ++i;
        } else {
            put(static_cast<uint8_t>(p[i]));
        }
    }
}

}  // namespace neuralcodec
