// Blocks of weights as sums of pseudo-random vectors: the best seed of each block (docs/format.md, section 13.4).
#include <algorithm>
#include <cmath>
#include <vector>

#include "common.hpp"

namespace neuralcodec {

namespace {

constexpr uint32_t all_taps[13] = {0x000C, 0x0014, 0x0030, 0x0060, 0x00B8, 0x0110, 0x0240,
                                   0x0500, 0x0E08, 0x1C80, 0x3802, 0x6000, 0xB400};
constexpr size_t most_block = 64, most_vectors = 8, tried = 4;

struct Basis {
    size_t block, vectors, seed_width, width, exponent_width;
    int shift;
};

// The vectors of a seed, [vector][weight].
void generate(const Basis &b, uint32_t seed, int32_t *u) {
    uint32_t s = seed;
    for (size_t c = 0; c < b.block; ++c)
        for (size_t p = 0; p < b.vectors; ++p) {
            s = s >> 1 ^ (s & 1 ? all_taps[b.seed_width - 4] : 0);
            u[p * b.block + c] = static_cast<int32_t>(s) - (1 << (b.seed_width - 1));
        }
}

constexpr size_t group = 32;  // seeds that are tried together

// Place of a value of a seed's vectors among those of all seeds: groups of seeds lie together.
size_t place(const Basis &b, size_t seed, size_t p, size_t c) {
    return ((seed / group * b.vectors + p) * b.block + c) * group + seed % group;
}

// Energy of a block along the orthonormal vectors of all seeds, and the largest of each group.
NC_CLONES void project(const float *w, const float *q, size_t vectors, size_t block, size_t groups, float *energy, float *largest) {
    for (size_t g = 0; g < groups; ++g) {
        float total[group] = {};
        for (size_t p = 0; p < vectors; ++p) {
            float sum[group] = {};
            for (size_t c = 0; c < block; ++c, q += group) {
                const float x = w[c];
                for (size_t s = 0; s < group; ++s) sum[s] += x * q[s];
            }
            for (size_t s = 0; s < group; ++s) total[s] += sum[s] * sum[s];
        }
        float most = 0;
        for (size_t s = 0; s < group; ++s) {
            energy[g * group + s] = total[s];
            most = total[s] > most ? total[s] : most;
        }
        largest[g] = most;
    }
}

// The seed with the most energy, which is taken out; 0 if there is none.
size_t take_best(float *energy, float *largest, size_t groups) {
    const size_t g = static_cast<size_t>(std::max_element(largest, largest + groups) - largest);
    float *const first = energy + g * group;
    const size_t s = static_cast<size_t>(std::max_element(first, first + group) - first);
    if (!(first[s] > 0)) return 0;
    first[s] = -1;
    largest[g] = *std::max_element(first, first + group);
    return g * group + s;
}

// What a block becomes; its squared error.
double error_of(const Basis &b, const float *w, size_t n, const int32_t *u, const int32_t *factor, int e) {
    const int shift = b.shift + e;
    const int64_t half = shift ? int64_t{1} << (shift - 1) : 0;
    double error = 0;
    for (size_t c = 0; c < n; ++c) {
        int64_t sum = half;
        for (size_t p = 0; p < b.vectors; ++p) sum += static_cast<int64_t>(factor[p]) * u[p * b.block + c];
        const double miss = static_cast<double>(w[c]) - static_cast<double>(sum >> shift);
        error += miss * miss;
    }
    return error;
}

// Weights of a tile: in units of the step, block by block. Gives for each block seed, exponent and factors.
nb::tuple search_basis(In1<float> weights, In1<uint32_t> tiles, size_t block, size_t vectors, size_t seed_width, size_t width,
                       size_t exponent_width, int shift) {
    const Basis b{block, vectors, seed_width, width, exponent_width, shift};
    if (block < 1 || block > most_block || vectors < 1 || vectors > most_vectors || vectors > block || seed_width < 4 ||
        seed_width > 16 || width < 2 || width > 8 || exponent_width > 4 || shift < 0 ||
        shift + (1 << exponent_width) - 1 > 24)
        throw std::invalid_argument("parameters of the basis out of range");
    size_t blocks = 0, total = 0;
    for (size_t i = 0; i < tiles.size(); ++i) {
        blocks += (tiles.data()[i] + block - 1) / block;
        total += tiles.data()[i];
    }
    if (total != weights.size()) throw std::invalid_argument("tiles: as many weights as there are expected");
    Buffer<uint32_t> seed(blocks), exponent(blocks);
    Buffer<int32_t> factors(blocks * vectors);
    {
        nb::gil_scoped_release release;
        const size_t seeds = size_t{1} << seed_width;
        const size_t groups = (seeds + group - 1) / group;
        std::vector<float> q(vectors * block * groups * group, 0.0f), energy(groups * group), largest_of(groups);
        std::vector<int32_t> u(vectors * block);
        std::vector<double> v(vectors * block);
        // Orthonormal vectors of each seed: Gram and Schmidt. Seed 0 has none.
        for (uint32_t s = 1; s < seeds; ++s) {
            generate(b, s, u.data());
            for (size_t p = 0; p < vectors; ++p) {
                double *const mine = &v[p * block];
                for (size_t c = 0; c < block; ++c) mine[c] = u[p * block + c];
                for (size_t o = 0; o < p; ++o) {
                    double along = 0;
                    for (size_t c = 0; c < block; ++c) along += mine[c] * v[o * block + c];
                    for (size_t c = 0; c < block; ++c) mine[c] -= along * v[o * block + c];
                }
                double length = 0;
                for (size_t c = 0; c < block; ++c) length += mine[c] * mine[c];
                const double scale = length > 1e-6 ? 1 / std::sqrt(length) : 0;
                for (size_t c = 0; c < block; ++c) {
                    mine[c] *= scale;
                    q[place(b, s, p, c)] = static_cast<float>(mine[c]);
                }
            }
        }
        const int most = (1 << (width - 1)) - 1, exponents = 1 << exponent_width;
        size_t at = 0, k = 0;
        for (size_t tile = 0; tile < tiles.size(); ++tile) {
            for (size_t left = tiles.data()[tile]; left > 0; ++k) {
                const size_t n = std::min(left, block);
                float w[most_block] = {};
                std::copy_n(weights.data() + at, n, w);
                at += n;
                left -= n;
                int32_t *const out = factors.get() + k * vectors;
                seed.get()[k] = exponent.get()[k] = 0;
                std::fill_n(out, vectors, 0);
                double least = 0;
                for (size_t c = 0; c < n; ++c) least += static_cast<double>(w[c]) * static_cast<double>(w[c]);
                if (least == 0) continue;
                project(w, q.data(), vectors, block, groups, energy.data(), largest_of.data());
                for (size_t t = 0; t < tried; ++t) {
                    const size_t best = take_best(energy.data(), largest_of.data(), groups);
                    if (best == 0) break;
                    generate(b, static_cast<uint32_t>(best), u.data());
                    // Factors by least squares, from the triangle that orthogonalization leaves.
                    double x[most_vectors], r[most_vectors][most_vectors];
                    bool good = true;
                    for (size_t p = 0; p < vectors; ++p) {
                        x[p] = 0;
                        for (size_t c = 0; c < block; ++c)
                            x[p] += static_cast<double>(q[place(b, best, p, c)]) * static_cast<double>(w[c]);
                        for (size_t o = p; o < vectors; ++o) {
                            r[p][o] = 0;
                            for (size_t c = 0; c < block; ++c)
                                r[p][o] += static_cast<double>(q[place(b, best, p, c)]) * u[o * block + c];
                        }
                        good = good && r[p][p] > 0;
                    }
                    if (!good) continue;
                    double largest = 0;
                    for (size_t p = vectors; p-- > 0;) {
                        for (size_t o = p + 1; o < vectors; ++o) x[p] -= r[p][o] * x[o];
                        x[p] /= r[p][p];
                        largest = std::max(largest, std::fabs(x[p]));
                    }
                    if (!(largest > 0)) continue;
                    int e = 0;  // the finest at which the largest factor fits; and one finer, where it is clipped
                    while (e + 1 < exponents && largest * std::ldexp(1.0, shift + e + 1) <= most + 0.5) ++e;
                    for (int finer = 0; finer < 2 && e + finer < exponents; ++finer) {
                        int32_t f[most_vectors];
                        for (size_t p = 0; p < vectors; ++p)
                            f[p] = static_cast<int32_t>(
                                std::clamp(std::nearbyint(x[p] * std::ldexp(1.0, shift + e + finer)), -most - 1.0, most + 0.0));
                        double error = error_of(b, w, n, u.data(), f, e + finer);
                        for (size_t p = 0; p < vectors; ++p)  // rounding all of them at once is not the best there is
                            for (int by = -1; by <= 1; by += 2) {
                                const int32_t was = f[p];
                                f[p] = std::clamp(was + by, -most - 1, most);
                                const double other = error_of(b, w, n, u.data(), f, e + finer);
                                if (other < error)
                                    error = other;
                                else
                                    f[p] = was;
                            }
                        if (error < least) {
                            least = error;
                            seed.get()[k] = static_cast<uint32_t>(best);
                            exponent.get()[k] = static_cast<uint32_t>(e + finer);
                            std::copy_n(f, vectors, out);
                        }
                    }
                }
            }
        }
    }
    return nb::make_tuple(seed.array(), exponent.array(), factors.matrix(blocks, vectors));
}

}  // namespace

void bind_basis(nb::module_ &m) {
    m.def("search_basis", &search_basis, nb::arg("weights"), nb::arg("tiles"), nb::arg("block"), nb::arg("vectors"),
          nb::arg("seed_width"), nb::arg("width"), nb::arg("exponent_width"), nb::arg("shift"));
}

}  // namespace neuralcodec
