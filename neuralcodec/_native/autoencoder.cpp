// The encoder of codec autoencoder: residuals by rate and distortion, what a model is trained on, packing (docs/format.md,
// section 14). What predicts spreads is the decoder's own code.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "common.hpp"

extern "C" {
#include "../../firmware_decoder/src/autoencoder.h"
}

namespace neuralcodec {

namespace {

// What predicts levels from those before, and how tiles are cut.
struct Predictor {
    size_t tile;
    unsigned period, fraction_bits;
    int32_t bias;
    std::vector<uint32_t> lags;
    std::vector<int32_t> coefficients;

    Predictor(size_t tile_, unsigned period_, unsigned fraction, int32_t bias_, std::vector<uint32_t> lags_,
              std::vector<int32_t> coefficients_)
        : tile(tile_), period(period_ > 1 ? period_ : 0), fraction_bits(fraction), bias(bias_), lags(std::move(lags_)),
          coefficients(std::move(coefficients_)) {
        bool good = period_ <= NCD_AE_KERNEL && fraction <= 4 && std::abs(bias_) <= 0xFFFFFF &&
                    lags.size() == coefficients.size() && lags.size() <= NCD_AE_TAPS;
        for (uint32_t lag : lags) good &= lag >= 1 && lag <= 65535;
        for (int32_t c : coefficients) good &= c >= -128 && c <= 127;
        if (!good) throw std::invalid_argument("predictor: a field is out of its range");
    }

    // Of level i, from those before in the tile.
    int32_t predict(const int16_t *levels, size_t i) const {
        int32_t sum = bias + 32;
        for (size_t k = 0; k < lags.size(); ++k)
            if (i >= lags[k]) sum += coefficients[k] * levels[i - lags[k]];
        return static_cast<int32_t>((static_cast<uint32_t>(sum) + 0x40000000u) >> 6) - 0x1000000;
    }
};

// A class of a model, and what its tokens cost.
class Prior {
public:
    static constexpr unsigned cached = 256;

    Prior(const In1<uint8_t> &model, unsigned index) : bytes_(model.data(), model.data() + model.size()) {
        size_t used = 0;
        const ncd_status status = ncd_ae_model_read(bytes_.data(), bytes_.size(), index, &c_, &used);
        if (status || used != bytes_.size()) throw std::invalid_argument("model: not one, or it has no such class");
        for (unsigned t = 0; t < NCD_AE_TABLES; ++t) {
            uint32_t count, before = 0;
            const uint8_t *const table = ncd_ae_table(&c_, t, &count);
            bits_[t].resize(count);
            for (uint32_t k = 0; k < count; ++k) {
                const uint32_t sum = ncd_ae_u16(table + 2 * k);
                bits_[t][k] = static_cast<float>(NCD_AE_SLOTS_LOG2 - log2_alike(sum - before));
                before = sum;
            }
        }
        for (unsigned s = 0; s < NCD_AE_SPREADS; ++s) {
            rates_[s].resize(cached);
            for (unsigned m = 0; m < cached; ++m) rates_[s][m] = rate_of(s, m);
        }
    }
    Prior(const Prior &) = delete;
    Prior &operator=(const Prior &) = delete;

    const ncd_ae_class *of() const { return &c_; }

    // Bits of a residual of magnitude m.
    float rate(unsigned spread, uint32_t m) const { return m < cached ? rates_[spread][m] : rate_of(spread, m); }

private:
    float rate_of(unsigned spread, uint32_t m) const {
        const unsigned raw = ncd_ae_raw_bits(spread);
        const auto &table = bits_[spread - 4 * raw];
        const uint32_t value = m >> raw, last = static_cast<uint32_t>(table.size()) - 1;
        float bits = static_cast<float>(raw + (m > 0 ? 1u : 0u));
        if (value < last) return bits + table[value];
        return bits + table[last] + 4 + static_cast<float>(ncd_ae_log2_floor(value - last + 1));
    }

    std::vector<uint8_t> bytes_;
    ncd_ae_class c_{};
    std::array<std::vector<float>, NCD_AE_TABLES> bits_;
    std::array<std::vector<float>, NCD_AE_SPREADS> rates_;
};

struct Row {
    int32_t features[NCD_AE_FEATURES];
};

int32_t nearest(float off) {
    return static_cast<int32_t>(std::rint(std::min(std::max(off, -1e6f), 1e6f)));
}

// Goes through a tile as a decoder does. `decide(spread, off)` picks a residual for a weight that is `off` residuals away
// from its prediction; put(spread, residual, features) is told of it.
template <typename Decide, typename Put>
uint32_t walk(const Predictor &p, const ncd_ae_class *c, const float *weights, size_t n, size_t cols, int32_t most,
              std::vector<uint16_t> &memory, int16_t *levels, Decide &&decide, Put &&put) {
    const float unit = static_cast<float>(1u << p.fraction_bits);
    ncd_ae_state state{};
    const bool several = cols < p.tile && p.tile / cols > 1;
    state.cols = static_cast<uint32_t>(std::min(cols, p.tile));
    memory.assign((several ? cols : 0) + p.period + 1, 0);
    state.column = several ? memory.data() : nullptr;
    state.kernel = p.period ? memory.data() + (several ? cols : 0) : nullptr;
    state.period = p.period;
    // The start is the mean magnitude of residuals, as far as it is known before: from the weights themselves.
    double mean = 0;
    for (size_t i = 0; i < n; ++i) {
        float sum = static_cast<float>(p.bias);
        for (size_t k = 0; k < p.lags.size(); ++k)
            if (i >= p.lags[k]) sum += static_cast<float>(p.coefficients[k]) * weights[i - p.lags[k]];
        mean += std::fabs(weights[i] - sum / 64.0f);
    }
    mean = 16 * mean / static_cast<double>(n) / unit;
    uint32_t z = 0;
    while (z < 31 && mean > 0.5 * (ncd_ae_start(z) + ncd_ae_start(z + 1))) ++z;
    ncd_ae_begin(&state, z);
    // What a decoder's state would be without rate in the decisions. Rates for these come from the wider of both spreads:
    // else a few residuals that are 0 for their rate narrow the spread, which makes the next ones 0, and so on.
    std::vector<uint16_t> other(memory);
    ncd_ae_state nearest_state = state;
    nearest_state.column = state.column ? other.data() : nullptr;
    nearest_state.kernel = state.kernel ? other.data() + (state.kernel - memory.data()) : nullptr;
    for (size_t i = 0; i < n; ++i) {
        Row row;
        ncd_ae_features(&state, row.features);
        const uint32_t spread = c ? ncd_ae_spread(c, &state) : 0;
        const int32_t predicted = p.predict(levels, i);
        const float off = (weights[i] - static_cast<float>(predicted)) / unit;
        const uint32_t wider = c ? std::max(spread, ncd_ae_spread(c, &nearest_state)) : 0;
        int32_t residual = decide(i, wider, off);
        // Inside the range of levels, whatever it costs.
        const int32_t scale = 1 << p.fraction_bits;
        while (predicted + residual * scale > most) --residual;
        while (predicted + residual * scale < -most - 1) ++residual;
        levels[i] = static_cast<int16_t>(predicted + residual * scale);
        put(i, spread, residual, row);
        ncd_ae_update(&state, static_cast<uint32_t>(std::abs(residual)));
        if (c) ncd_ae_update(&nearest_state, static_cast<uint32_t>(std::abs(nearest(off))));
    }
    return z;
}

// The residual of least distortion and rate: the nearest, or one nearer to 0.
int32_t cheapest(const Prior &prior, uint32_t spread, float off, float importance, float lagrangian) {
    const int32_t first = nearest(off);
    int32_t best = first;
    float least = std::numeric_limits<float>::infinity();
    const int32_t candidates[3] = {first, first > 0 ? first - 1 : first + 1, 0};
    for (int i = 0; i < (first == 0 ? 1 : std::abs(first) == 2 ? 3 : 2); ++i) {
        const float d = off - static_cast<float>(candidates[i]);
        const float cost = importance * d * d + lagrangian * prior.rate(spread, static_cast<uint32_t>(std::abs(candidates[i])));
        if (cost < least) {
            least = cost;
            best = candidates[i];
        }
    }
    return best;
}

void check_shapes(const In2<float> &weights, const std::optional<In2<float>> &importance) {
    if (importance && (importance->shape(0) != weights.shape(0) || importance->shape(1) != weights.shape(1)))
        throw std::invalid_argument("importance: the shape of the weights expected");
}

// Levels, the tiles one after the other, the bytes of each, and about how many bits they take.
nb::tuple encode(const Predictor &p, In1<uint8_t> model, unsigned index, In2<float> weights, float lagrangian, int most,
                 std::optional<In2<float>> importance) {
    check_shapes(weights, importance);
    if (most < 1 || most > 32767) throw std::invalid_argument("most: 1 to 32767 expected");
    const Prior prior(model, index);
    const size_t rows = weights.shape(0), cols = weights.shape(1);
    Buffer<int16_t> levels(rows * cols);
    Bytes out;
    std::vector<uint32_t> sizes;
    double bits = 0;
    {
        nb::gil_scoped_release release;
        struct Coded {
            uint32_t magnitude;
            uint8_t spread, negative;
        };
        std::vector<Coded> coded;
        std::vector<uint16_t> memory, words;  // words: from the last one on
        for_each_tile(rows, cols, p.tile, [&](size_t at, size_t n) {
            coded.resize(n);
            const float *const counts = importance ? importance->data() + at : nullptr;
            const uint32_t z = walk(
                p, prior.of(), weights.data() + at, n, cols, most, memory, levels.get() + at,
                [&](size_t i, uint32_t spread, float off) {
                    return cheapest(prior, spread, off, counts ? counts[i] : 1.0f, lagrangian);
                },
                [&](size_t i, uint32_t spread, int32_t residual, const Row &) {
                    const auto magnitude = static_cast<uint32_t>(std::abs(residual));
                    coded[i] = Coded{magnitude, static_cast<uint8_t>(spread), static_cast<uint8_t>(residual < 0)};
                    bits += static_cast<double>(prior.rate(spread, magnitude));
                });
            bits += NCD_AE_START_BITS;
            words.clear();
            uint32_t x = 0;
            const auto put = [&](uint32_t frequency, uint32_t start, unsigned width) {
                // The decoder's state after this symbol must stay below 2^32 before it.
                if (static_cast<uint64_t>(x) >= static_cast<uint64_t>(frequency) << (32 - width)) {
                    words.push_back(static_cast<uint16_t>(x));
                    x >>= 16;
                }
                x = (x / frequency << width) + x % frequency + start;
            };
            for (size_t i = n; i-- > 0;) {
                const Coded &one = coded[i];
                const unsigned raw = ncd_ae_raw_bits(one.spread);
                uint32_t count;
                const uint8_t *const table = ncd_ae_table(prior.of(), one.spread - 4 * raw, &count);
                const uint32_t value = one.magnitude >> raw, token = std::min(value, count - 1);
                if (one.magnitude) put(1, one.negative, 1);
                if (raw) put(1, one.magnitude & ((1u << raw) - 1), raw);
                if (token + 1 == count) {
                    const uint32_t beyond = value - token + 1, length = ncd_ae_log2_floor(beyond);
                    // No weights are known that come to this; the decoder would read others.
                    if (length > 15) throw std::invalid_argument("a residual is larger than the stream can hold");
                    if (length) put(1, beyond - (1u << length), length);
                    put(1, length, 4);
                }
                const uint32_t before = token ? ncd_ae_u16(table + 2 * (token - 1)) : 0;
                put(ncd_ae_u16(table + 2 * token) - before, before, NCD_AE_SLOTS_LOG2);
            }
            put(1, z, NCD_AE_START_BITS);
            for (; x; x >>= 16) words.push_back(static_cast<uint16_t>(x));
            uint8_t *to = out.reserve(2 * words.size());
            for (size_t i = words.size(); i-- > 0;) {
                *to++ = static_cast<uint8_t>(words[i]);
                *to++ = static_cast<uint8_t>(words[i] >> 8);
            }
            out.advance(2 * words.size());
            sizes.push_back(static_cast<uint32_t>(2 * words.size()));
        });
    }
    Buffer<uint32_t> array(sizes.size());
    std::copy(sizes.begin(), sizes.end(), array.get());
    return nb::make_tuple(levels.matrix(rows, cols), out.bytes(), array.array(), bits);
}

// Residuals in the order of the tiles, and for each its features; with a model also by rate and distortion.
nb::tuple trace(const Predictor &p, In2<float> weights, std::optional<In1<uint8_t>> model, unsigned index, float lagrangian,
                std::optional<In2<float>> importance) {
    check_shapes(weights, importance);
    std::optional<Prior> prior;
    if (model) prior.emplace(*model, index);
    const size_t rows = weights.shape(0), cols = weights.shape(1), size = rows * cols;
    Buffer<int16_t> levels(size);
    Buffer<int32_t> residuals(size);
    Buffer<int16_t> features(size * NCD_AE_FEATURES);
    {
        nb::gil_scoped_release release;
        std::vector<uint16_t> memory;
        for_each_tile(rows, cols, p.tile, [&](size_t at, size_t n) {
            const float *const counts = importance ? importance->data() + at : nullptr;
            walk(
                p, prior ? prior->of() : nullptr, weights.data() + at, n, cols, 32767, memory, levels.get() + at,
                [&](size_t i, uint32_t spread, float off) {
                    return prior ? cheapest(*prior, spread, off, counts ? counts[i] : 1.0f, lagrangian) : nearest(off);
                },
                [&](size_t i, uint32_t, int32_t residual, const Row &row) {
                    residuals.get()[at + i] = residual;
                    for (unsigned k = 0; k < NCD_AE_FEATURES; ++k)
                        features.get()[(at + i) * NCD_AE_FEATURES + k] = static_cast<int16_t>(row.features[k]);
                });
        });
    }
    return nb::make_tuple(residuals.array(), features.matrix(size, NCD_AE_FEATURES));
}

// Mean of w[i] · w[i - lag] over all i, for each lag; the first terms, which have no partner, count as 0.
Out1<double> covariance(In1<float> weights, const std::vector<uint32_t> &lags) {
    Buffer<double> out(lags.size());
    {
        nb::gil_scoped_release release;
        const float *const w = weights.data();
        const size_t n = weights.size();
        for (size_t k = 0; k < lags.size(); ++k) {
            std::array<double, lanes> sums{};  // in a fixed order, so that it is the same on every machine
            size_t i = lags[k];
            for (; i + lanes <= n; i += lanes)
                for (size_t j = 0; j < lanes; ++j)
                    sums[j] += static_cast<double>(w[i + j]) * static_cast<double>(w[i + j - lags[k]]);
            double sum = 0;
            for (; i < n; ++i) sum += static_cast<double>(w[i]) * static_cast<double>(w[i - lags[k]]);
            for (double each : sums) sum += each;
            out.get()[k] = n ? sum / static_cast<double>(n) : 0;
        }
    }
    return out.array();
}

nb::object universal(uint32_t version) {
    size_t size = 0;
    const uint8_t *const model = ncd_ae_universal(version, &size);
    if (!model) return nb::none();
    return nb::bytes(model, size);
}

}  // namespace

void bind_autoencoder(nb::module_ &m) {
    nb::class_<Predictor>(m, "AutoencoderPredictor")
        .def(nb::init<size_t, unsigned, unsigned, int32_t, std::vector<uint32_t>, std::vector<int32_t>>(), nb::arg("tile"),
             nb::arg("period"), nb::arg("fraction_bits"), nb::arg("bias"), nb::arg("lags"), nb::arg("coefficients"));
    m.def("autoencoder_encode", &encode, nb::arg("predictor"), nb::arg("model"), nb::arg("index"), nb::arg("weights"),
          nb::arg("lagrangian"), nb::arg("most"), nb::arg("importance").none() = nb::none());
    m.def("autoencoder_trace", &trace, nb::arg("predictor"), nb::arg("weights"), nb::arg("model").none() = nb::none(),
          nb::arg("index") = 0, nb::arg("lagrangian") = 0.0f, nb::arg("importance").none() = nb::none());
    m.def("autoencoder_covariance", &covariance, nb::arg("weights"), nb::arg("lags"));
    m.def("autoencoder_universal", &universal, nb::arg("version"));
}

}  // namespace neuralcodec
