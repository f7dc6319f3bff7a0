// Tunes weights of the mix of codec generative to the levels of a model (docs/format.md, section 15.5).
//
// What a set of weights learns hangs on nothing but the bits where it is used, and so does what these bits take if it begins
// otherwise. So all sets can be tried at once, and each that pays for itself is kept.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "generative.hpp"

namespace {

// Adds up what bits take, in 65536ths, by the sets of weights that predict them.
struct Meter {
    std::vector<uint64_t> first = std::vector<uint64_t>(NCD_GENERATIVE_PRIOR_FIRST / NCD_GENERATIVE_INPUTS);
    std::vector<uint64_t> second = std::vector<uint64_t>(NCD_GENERATIVE_PRIOR_SECOND / NCD_GENERATIVE_INPUTS);
    std::vector<uint32_t> costs = std::vector<uint32_t>(4097);  // of a probability in 4096ths

    Meter() {
        for (size_t i = 0; i <= 4096; ++i) {
            const double p = std::max(static_cast<double>(i), 0.25) / 4096;
            costs[i] = static_cast<uint32_t>(std::lround(-65536 * neuralcodec::log2_alike(p)));
        }
    }
    void clear() {
        std::fill(first.begin(), first.end(), 0);
        std::fill(second.begin(), second.end(), 0);
    }
    uint32_t code(uint32_t, uint32_t bit) { return bit; }
    uint32_t code_at(size_t a, size_t b, uint32_t p, uint32_t bit) {
        const uint32_t q = bit ? p : 65536 - p, i = q >> 4;
        const uint32_t cost = costs[i] - (costs[i] - costs[i + 1]) * (q & 15u) / 16;
        first[a] += cost;
        second[b] += cost;
        return bit;
    }
};

}  // namespace

#define NCD_GENERATIVE_CODER Meter
#define NCD_GENERATIVE_CODE(c, p, bit) ((c)->code(p, bit))
#define NCD_GENERATIVE_CODE_AT(t, node, p, bit)                                                                              \
    ((t)->coder->code_at((node) * NCD_GENERATIVE_FIRST + (t)->first, (node) * NCD_GENERATIVE_SECOND + (t)->second, p, bit))

namespace {
#include "generative_model.h"
}

namespace neuralcodec {

namespace {

constexpr size_t inputs = NCD_GENERATIVE_INPUTS;
constexpr unsigned learning = 3;  // what the weights of the mix learn from a bit while they are tuned: little, in many

NC_CLONES bool walk(ncd_generative_model *model, Meter *meter, const ncd_generative_head *head, const int16_t *levels,
                    size_t n, uint32_t cols, uint32_t col) {
    ncd_generative_walk w;
    w.m = model;
    w.coder = meter;
    w.columns = ncd_generative_columns(model);
    w.head = head;
    ncd_generative_begin(&w, cols, col);
    for (size_t i = 0; i < n; ++i)
        if (ncd_generative_level(&w, levels, 1, levels[i]) != levels[i]) return false;
    return true;
}

// Writes an object: the decoder's source, firmware_decoder/src/generative_tuned.c, says what is what.
class Writer {
public:
    explicit Writer(unsigned shift) : shift_(shift) { larger_.fill(32768); }

    void set(const int *changes) {
        const bool is_changed = std::any_of(changes, changes + inputs, [](int each) { return each != 0; });
        put(&set_, is_changed);
        for (size_t i = 0; is_changed && i < inputs; ++i) weight(changes[i]);
    }
    std::vector<uint8_t> finish() {
        out_.finish();
        std::vector<uint8_t> bytes{static_cast<uint8_t>(shift_)};
        bytes.insert(bytes.end(), out_.bytes.begin(), out_.bytes.end());
        return bytes;
    }

private:
    void put(uint16_t *p, bool bit) {
        const uint32_t was = *p;
        out_.code(was, bit);
        *p = static_cast<uint16_t>(bit ? was + ((65535u - was) >> 5) : was - (was >> 5));
    }
    void weight(int change) {
        put(&weight_, change != 0);
        if (!change) return;
        out_.code(32768, change < 0);
        const int size = std::abs(change);
        for (int k = 1; k < 31; ++k) {
            put(&larger_[static_cast<size_t>(std::min(k, 8) - 1)], size > k);
            if (size == k) break;
        }
    }

    GenerativeEncoder out_;
    unsigned shift_;
    uint16_t set_ = 2048, weight_ = 32768;
    std::array<uint16_t, 8> larger_;
};

// Levels of a model's tensors, and what tuning to them gives.
class Tuner {
public:
    Tuner() : state_(65535) {}

    void add(In2<int16_t> levels, size_t tile, unsigned states_log2, uint32_t kernel, unsigned rates, unsigned start) {
        tensors_.push_back({levels, tile, generative_head(states_log2, kernel, rates, start)});
    }

    // The object; empty where no change pays.
    nb::bytes tune(unsigned steps) {
        std::vector<uint8_t> best;
        {
            nb::gil_scoped_release release;
            learn(steps);
            const ncd_generative_model *const m = state_.model();
            const std::vector<int> first = as_bytes(m->first, NCD_GENERATIVE_PRIOR_FIRST);
            const std::vector<int> second = as_bytes(m->second, NCD_GENERATIVE_PRIOR_SECOND);
            measure({}, {});
            const std::vector<uint64_t> before = meter_.first;
            int64_t most = 0;
            for (unsigned shift = 2; shift < 7; ++shift) {
                std::vector<int> some = changes(first, first_prior, shift);
                measure(some, {}, shift);
                int64_t saved = keep(before, meter_.first, &some);
                measure(some, {}, shift);
                const std::vector<uint64_t> now = meter_.second;
                std::vector<int> others = changes(second, second_prior, shift);
                measure(some, others, shift);
                saved += keep(now, meter_.second, &others);
                if (saved <= most) continue;
                most = saved;
                Writer writer(shift);
                for (size_t i = 0; i < some.size(); i += inputs) writer.set(&some[i]);
                for (size_t i = 0; i < others.size(); i += inputs) writer.set(&others[i]);
                best = writer.finish();
            }
        }
        return nb::bytes(best.data(), best.size());
    }

private:
    struct Tensor {
        In2<int16_t> levels;
        size_t tile;
        ncd_generative_head head;
    };

    static constexpr const uint8_t *first_prior = ncd_generative_prior + NCD_GENERATIVE_PRIOR_CELLS;
    static constexpr const uint8_t *second_prior = first_prior + NCD_GENERATIVE_PRIOR_FIRST;

    // Weights as a prior has them.
    static std::vector<int> as_bytes(const int32_t *weights, size_t n) {
        std::vector<int> bytes(n);
        for (size_t i = 0; i < n; ++i)
            bytes[i] = std::clamp((weights[i] + 128 * 512 + 256) >> 9, 0, 255);
        return bytes;
    }

    // What makes these weights of a prior's, in units of 2^shift.
    static std::vector<int> changes(const std::vector<int> &to, const uint8_t *prior, unsigned shift) {
        const int unit = 1 << shift;
        std::vector<int> found(to.size());
        for (size_t i = 0; i < to.size(); ++i) {
            const int by = to[i] - prior[i];
            int units = std::min((std::abs(by) + unit / 2) / unit, 31);
            if (by < 0) units = -units;
            while (units && (prior[i] + units * unit < 0 || prior[i] + units * unit > 255)) units -= units > 0 ? 1 : -1;
            found[i] = units;
        }
        return found;
    }

    // About what a set of changes takes in the object, in 65536ths of a bit.
    static int64_t price(const int *changes) {
        double bits = 5;
        for (size_t i = 0; i < inputs; ++i) bits += changes[i] ? 2 + 0.7 * std::abs(changes[i]) : 1;
        return static_cast<int64_t>(65536 * bits);
    }

    // Drops the changes of sets that do not pay; what the others save.
    static int64_t keep(const std::vector<uint64_t> &before, const std::vector<uint64_t> &after, std::vector<int> *changes) {
        int64_t saved = 0;
        for (size_t s = 0; s < before.size(); ++s) {
            int *const set = &(*changes)[s * inputs];
            const int64_t gain = static_cast<int64_t>(before[s]) - static_cast<int64_t>(after[s]) - price(set);
            if (gain > 0)
                saved += gain;
            else
                std::fill(set, set + inputs, 0);
        }
        return saved;
    }

    // The model after all levels, seen so many times.
    void learn(unsigned steps) {
        ncd_generative_reset(state_.model(), ncd_generative_prior);
        for (unsigned i = 0; i < steps; ++i)
            for (const Tensor &each : tensors_) {
                ncd_generative_head head = each.head;
                head.mix_rate = learning;
                walk_tiles(each, head, [] {});
            }
    }

    // What bits take where tiles begin with a changed prior.
    void measure(const std::vector<int> &first, const std::vector<int> &second, unsigned shift = 0) {
        ncd_generative_model *const m = state_.model();
        auto change = [&](const std::vector<int> &by, const uint8_t *prior, int32_t *weights) {
            for (size_t i = 0; i < by.size(); ++i)
                if (by[i]) weights[i] = (prior[i] + by[i] * (1 << shift) - 128) * 512;
        };
        meter_.clear();
        for (const Tensor &each : tensors_)
            walk_tiles(each, each.head, [&] {
                ncd_generative_reset(m, ncd_generative_prior);
                change(first, first_prior, m->first);
                change(second, second_prior, m->second);
            });
    }

    template <typename F>
    void walk_tiles(const Tensor &tensor, const ncd_generative_head &head, F &&begin) {
        const In2<int16_t> &levels = tensor.levels;
        bool alike = true;
        for_each_generative_tile(levels.shape(0), levels.shape(1), tensor.tile,
                                 [&](size_t at, size_t n, uint32_t width, uint32_t col) {
                                     if (!alike) return;
                                     begin();
                                     alike = walk(state_.model(), &meter_, &head, levels.data() + at, n, width, col);
                                 });
        if (!alike) throw std::invalid_argument("levels: those of a path through the trellis expected");
    }

    GenerativeState state_;
    Meter meter_;
    std::vector<Tensor> tensors_;
};

}  // namespace

void bind_generative_tune(nb::module_ &m) {
    nb::class_<Tuner>(m, "GenerativeTuner")
        .def(nb::init<>())
        .def("add", &Tuner::add, nb::arg("levels"), nb::arg("tile"), nb::arg("states_log2"), nb::arg("kernel"),
             nb::arg("rates"), nb::arg("start"))
        .def("tune", &Tuner::tune, nb::arg("steps"));
}

}  // namespace neuralcodec
