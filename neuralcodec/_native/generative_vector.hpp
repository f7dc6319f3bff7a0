// The bits of codec generative with the opinions of a bit's contexts side by side in a vector: what ncd_generative_bit() of
// firmware_decoder/src/generative_model.h does, in three fifths of the time. The same integers, so the same bytes.
#pragma once

#include "generative.hpp"

#if defined(__GNUC__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) && __has_builtin(__builtin_convertvector)
#define NC_GENERATIVE_VECTOR 1
#endif
#endif

#ifdef NC_GENERATIVE_VECTOR

namespace neuralcodec {

// An encoder that has a model's cells and weights in its own layout.
class GenerativeVectorEncoder : public GenerativeEncoder {
public:
    // Takes over what adapts.
    void load(const ncd_generative_model *m) {
        for (size_t i = 0; i < NCD_GENERATIVE_PRIOR_CELLS; ++i) cells_[i] = uint32_t{m->p[i]} | uint32_t{m->n[i]} << 16;
        spread(m->first, first_, NCD_GENERATIVE_NODES * NCD_GENERATIVE_FIRST);
        spread(m->second, second_, NCD_GENERATIVE_NODES * NCD_GENERATIVE_SECOND);
        if (squash_[0]) return;  // tables that are always the same
        std::copy(std::begin(m->stretch), std::end(m->stretch), stretch_);
        for (int32_t x = -2048; x < 2048; ++x) squash_[x + 2048] = static_cast<uint16_t>(ncd_squash(x));
        for (size_t n = 0; n < 256; ++n) by_count_[n] = uint32_t{m->confidence[n]} | uint32_t{m->rate[n]} << 16;
    }

    // Gives back cells and weights.
    void store(ncd_generative_model *m) const {
        for (size_t i = 0; i < NCD_GENERATIVE_PRIOR_CELLS; ++i) {
            m->p[i] = static_cast<uint16_t>(cells_[i] & 0xFFFFu);
            m->n[i] = static_cast<uint8_t>(cells_[i] >> 16);
        }
        gather(first_, m->first, NCD_GENERATIVE_NODES * NCD_GENERATIVE_FIRST);
        gather(second_, m->second, NCD_GENERATIVE_NODES * NCD_GENERATIVE_SECOND);
    }

    // Codes a bit at a node: mixes what its contexts have seen, and learns.
    template <typename Walk>
    NC_INLINE uint32_t bit_at(const Walk *t, uint32_t node, uint32_t bit) {
        uint32_t *const at = cells_ + size_t{node} * NCD_GENERATIVE_CELLS;
        const uint32_t *const k = t->cells;
        const uint32_t c0 = at[k[0]], c1 = at[k[1]], c2 = at[k[2]], c3 = at[k[3]], c4 = at[k[4]], c5 = at[k[5]];
        const Unsigned cell = {c0, c1, c2, c3, c4, c5, 0, 0};
        const Unsigned by_count = {by_count_[c0 >> 16], by_count_[c1 >> 16], by_count_[c2 >> 16],
                                   by_count_[c3 >> 16], by_count_[c4 >> 16], by_count_[c5 >> 16]};
        const Signed logit = {logit_of(c0), logit_of(c1), logit_of(c2), logit_of(c3), logit_of(c4), logit_of(c5)};
        Signed input = logit * as_signed(by_count & 0xFFFFu);
        input = (input + (input >> 31 & 255)) >> 8;  // rounded towards 0

        Signed *const w1 = first_ + size_t{node} * NCD_GENERATIVE_FIRST + t->first;
        Signed *const w2 = second_ + size_t{node} * NCD_GENERATIVE_SECOND + t->second;
        const Signed a1 = *w1, a2 = *w2, m1 = a1 * input, m2 = a2 * input;  // below 2^20 by 2^11
        // A sum of products over 2^16, rounded down: that of their upper halves, and what their lower halves carry.
        const Four sum = both(m1 >> 16, m2 >> 16) + (both(m1 & 0xFFFF, m2 & 0xFFFF) >> 16);
        const int32_t x1 = limited(sum[0]), x2 = limited(sum[1]);
        const uint32_t p = squash_[(x1 + x2 + 4096) >> 1];
        code(std::clamp(p, uint32_t{32}, uint32_t{65536 - 32}), bit);

        const int32_t one = static_cast<int32_t>(bit << 16), shift = static_cast<int32_t>(t->mix_shift);
        learn(w1, a1, input, one - squash_[x1 + 2048], shift);
        learn(w2, a2, input, one - squash_[x2 + 2048], shift);
        // A probability moves towards the bit: that of a 1 upwards, that of a 0, which is what it lacks, downwards.
        const uint32_t flip = bit ? 0xFFFFu : 0u;
        Unsigned q = (cell & 0xFFFFu) ^ flip, n = (cell >> 16) + 1;
        q -= q * (by_count >> 16) >> 16;
        n -= n >> 8;  // 255 at most
        const Unsigned now = (q ^ flip) | n << 16;
        at[k[0]] = now[0];
        at[k[1]] = now[1];
        at[k[2]] = now[2];
        at[k[3]] = now[3];
        at[k[4]] = now[4];
        at[k[5]] = now[5];
        return bit;
    }

private:
    // Six lanes are used.
    using Signed = int32_t __attribute__((vector_size(32)));
    using Unsigned = uint32_t __attribute__((vector_size(32)));
    using Four = int32_t __attribute__((vector_size(16)));
    static_assert(NCD_GENERATIVE_INPUTS == 6);

    int32_t logit_of(uint32_t cell) const { return stretch_[(cell & 0xFFFFu) >> 4]; }
    static int32_t limited(int32_t x) { return std::clamp(x, -int32_t{NCD_GENERATIVE_STRETCH}, int32_t{NCD_GENERATIVE_STRETCH}); }

    // By reference: how vectors are passed hangs on the processor, and all of these become part of bit_at().
    NC_INLINE static const Signed &as_signed(const Unsigned &v) { return reinterpret_cast<const Signed &>(v); }
    // The sums of either in the first two places.
    NC_INLINE static Four both(const Signed &a, const Signed &b) {
        const Signed two = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13) +
                           __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
        const Four four = __builtin_shufflevector(two, two, 0, 1, 2, 3) + __builtin_shufflevector(two, two, 4, 5, 6, 7);
        return four + __builtin_shufflevector(four, four, 2, 3, 0, 1);
    }
    NC_INLINE static void learn(Signed *to, const Signed &was, const Signed &input, int32_t error, int32_t shift) {
        const Signed most = Signed{} + int32_t{NCD_GENERATIVE_WEIGHT}, half = Signed{} + (int32_t{1} << (shift - 1));
        const Signed now = was + ((input * error + half) >> (Signed{} + shift)), low = now > most ? most : now;
        *to = low < -most ? -most : low;
    }

    static void spread(const int32_t *from, Signed *to, size_t sets) {
        for (size_t i = 0; i < sets; ++i) {
            const int32_t *const w = from + i * NCD_GENERATIVE_INPUTS;
            to[i] = Signed{w[0], w[1], w[2], w[3], w[4], w[5]};
        }
    }
    static void gather(const Signed *from, int32_t *to, size_t sets) {
        for (size_t i = 0; i < sets; ++i)
            for (size_t k = 0; k < NCD_GENERATIVE_INPUTS; ++k) to[i * NCD_GENERATIVE_INPUTS + k] = from[i][k];
    }

    Signed first_[NCD_GENERATIVE_NODES * NCD_GENERATIVE_FIRST];
    Signed second_[NCD_GENERATIVE_NODES * NCD_GENERATIVE_SECOND];
    uint32_t cells_[NCD_GENERATIVE_PRIOR_CELLS];  // by cell: its probability, and above 16 bits how often it was met
    uint32_t by_count_[256];                      // what an opinion counts, and above 16 bits what a cell learns
    int16_t stretch_[4096];
    uint16_t squash_[4096] = {};  // by logit, from -2048
};

}  // namespace neuralcodec

#endif
