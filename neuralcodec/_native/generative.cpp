// Codes levels with the adaptive model of codec generative (docs/format.md, section 15), and trains its prior.
//
// The model is the decoder's: firmware_decoder/src/generative_model.h, with a coder that writes in place of one that reads
// and, where the compiler has vectors, with bits of its own.
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "generative_vector.hpp"

namespace neuralcodec {
namespace {

#ifdef NC_GENERATIVE_VECTOR
using Encoder = GenerativeVectorEncoder;
#define NCD_GENERATIVE_BIT(t, node, bit) ((t)->coder->bit_at(t, node, bit))
#else
struct Encoder : GenerativeEncoder {  // of a model that stays where it is
    void load(const ncd_generative_model *) {}
    void store(ncd_generative_model *) const {}
};
#endif

}  // namespace
}  // namespace neuralcodec

#define NCD_GENERATIVE_CODER neuralcodec::Encoder
#define NCD_GENERATIVE_CODE(c, p, bit) ((c)->code(p, bit))

namespace {
#include "generative_model.h"
}

namespace neuralcodec {

ncd_generative_head generative_head(unsigned states_log2, uint32_t kernel, unsigned rates, unsigned start) {
    if (!kernel) throw std::invalid_argument("kernel: at least 1 expected");
    // The reader of streams checks the rest.
    std::vector<uint8_t> bytes{NCD_GENERATIVE_VERSION, static_cast<uint8_t>(states_log2), static_cast<uint8_t>(rates),
                               static_cast<uint8_t>(start)};
    for (; kernel > 127; kernel >>= 7) bytes.push_back(static_cast<uint8_t>((kernel & 127) | 128));
    bytes.push_back(static_cast<uint8_t>(kernel));
    ncd_generative_head head;
    ncd_cursor c{bytes.data(), bytes.data() + bytes.size()};
    if (states_log2 > 255 || rates > 15 || start > 255 || ncd_generative_read_head(&c, &head) != NCD_OK)
        throw std::invalid_argument("states_log2, rates or start out of range");
    return head;
}

namespace {

// Levels of a tile; whether all of them could be.
NC_CLONES bool walk(ncd_generative_model *model, Encoder *coder, const ncd_generative_head *head, const int16_t *levels,
                    size_t n, uint32_t cols, uint32_t col) {
    ncd_generative_walk w;
    w.m = model;
    w.coder = coder;
    w.columns = ncd_generative_columns(model);
    w.head = head;
    ncd_generative_begin(&w, cols, col);
    for (size_t i = 0; i < n; ++i)
        if (ncd_generative_level(&w, levels, 1, levels[i]) != levels[i]) return false;
    return true;
}

// All tiles of a matrix of levels, one after the other, and the bytes of each tile. `stored`: planes of the elements that
// are stored as they are, in front of the levels of a tile. `tuned`: a shared object that changes the prior.
nb::tuple pack(In2<int16_t> levels, size_t tile, unsigned states_log2, uint32_t kernel, unsigned rates, unsigned start,
               std::optional<In2<uint8_t>> stored, std::optional<nb::bytes> tuned) {
    const ncd_generative_head head = generative_head(states_log2, kernel, rates, start);
    const size_t rows = levels.shape(0), cols = levels.shape(1);
    if (stored && stored->shape(1) != rows * cols) throw std::invalid_argument("stored: a byte for each level expected");
    const uint8_t *const object = tuned ? reinterpret_cast<const uint8_t *>(tuned->c_str()) : nullptr;
    const size_t object_size = tuned ? tuned->size() : 0;
    if (tuned && ncd_generative_tune(object, object + object_size, nullptr) != NCD_OK)
        throw std::invalid_argument("tuned: a shared object of codec generative expected");
    Bytes out;
    std::vector<uint32_t> sizes;
    bool alike = true;
    {
        nb::gil_scoped_release release;
        GenerativeState state(std::min(cols, tile));
        const auto encoder = std::make_unique<Encoder>();
        Encoder &coder = *encoder;
        for_each_generative_tile(rows, cols, tile, [&](size_t at, size_t n, uint32_t width, uint32_t col) {
            if (!alike) return;
            ncd_generative_reset(state.model(), ncd_generative_prior);
            if (object) (void)ncd_generative_tune(object, object + object_size, state.model());
            coder.load(state.model());
            coder.bytes.clear();
            alike = walk(state.model(), &coder, &head, levels.data() + at, n, width, col);
            coder.finish();
            const size_t planes = stored ? stored->shape(0) : 0, size = n * planes + coder.bytes.size();
            uint8_t *to = out.reserve(size);
            for (size_t p = 0; p < planes; ++p) std::memcpy(to + p * n, stored->data() + p * rows * cols + at, n);
            std::copy(coder.bytes.begin(), coder.bytes.end(), to + planes * n);
            out.advance(size);
            sizes.push_back(static_cast<uint32_t>(size));
        });
    }
    if (!alike) throw std::invalid_argument("levels: those of a path through the trellis expected");
    Buffer<uint32_t> array(sizes.size());
    std::copy(sizes.begin(), sizes.end(), array.get());
    return nb::make_tuple(out.bytes(), array.array());
}

// Learns a prior: the model as it is after the levels of many tensors.
class Trainer {
public:
    Trainer() : state_(65535), encoder_(std::make_unique<Encoder>()) {
        ncd_generative_model *const m = state_.model();
        std::fill(std::begin(m->p), std::end(m->p), static_cast<uint16_t>(32768));
        std::fill(std::begin(m->n), std::end(m->n), static_cast<uint8_t>(0));
        std::fill(std::begin(m->first), std::end(m->first), even);
        std::fill(std::begin(m->second), std::end(m->second), even);
        encoder_->load(m);
    }

    // Bytes that the levels would take, learning on the way.
    size_t add(In2<int16_t> levels, size_t tile, unsigned states_log2, uint32_t kernel, unsigned rates, unsigned start) {
        const ncd_generative_head head = generative_head(states_log2, kernel, rates, start);
        size_t size = 0;
        bool alike = true;
        {
            nb::gil_scoped_release release;
            Encoder &coder = *encoder_;
            for_each_generative_tile(levels.shape(0), levels.shape(1), tile, [&](size_t at, size_t n, uint32_t width, uint32_t col) {
                if (!alike) return;
                coder.bytes.clear();
                alike = walk(state_.model(), &coder, &head, levels.data() + at, n, width, col);
                coder.finish();
                size += coder.bytes.size();
            });
        }
        if (!alike) throw std::invalid_argument("levels: those of a path through the trellis expected");
        return size;
    }

    // As docs/format.md, section 15.4, has it.
    nb::bytes prior() {
        ncd_generative_model *const m = state_.model();
        encoder_->store(m);
        std::vector<uint8_t> out;
        out.reserve(NCD_GENERATIVE_PRIOR);
        for (size_t i = 0; i < NCD_GENERATIVE_PRIOR_CELLS; ++i) {
            const int logit = (m->stretch[m->p[i] >> 4] + 2048 + 8) / 16 - 128;  // in 16ths, to nearest
            out.push_back(static_cast<uint8_t>(m->n[i] ? std::clamp(logit, -127, 127) + 128 : 0));
        }
        auto weights = [&](const int32_t *w, size_t n) {
            for (size_t i = 0; i < n; ++i) out.push_back(static_cast<uint8_t>(std::clamp(w[i] / 512, -128, 127) + 128));
        };
        weights(m->first, NCD_GENERATIVE_PRIOR_FIRST);
        weights(m->second, NCD_GENERATIVE_PRIOR_SECOND);
        return nb::bytes(out.data(), out.size());
    }

private:
    static constexpr int32_t even = 10923;  // all inputs alike: a sixth each
    GenerativeState state_;
    std::unique_ptr<Encoder> encoder_;
};

}  // namespace

void bind_generative(nb::module_ &m) {
    m.def("generative_pack", &pack, nb::arg("levels"), nb::arg("tile"), nb::arg("states_log2"), nb::arg("kernel"),
          nb::arg("rates"), nb::arg("start"), nb::arg("stored").none() = nb::none(), nb::arg("tuned").none() = nb::none());
    m.attr("generative_version") = static_cast<int>(NCD_GENERATIVE_VERSION);
    m.def("generative_prior", [] { return nb::bytes(ncd_generative_prior, NCD_GENERATIVE_PRIOR); });
    nb::class_<Trainer>(m, "GenerativeTrainer")
        .def(nb::init<>())
        .def("add", &Trainer::add, nb::arg("levels"), nb::arg("tile"), nb::arg("states_log2"), nb::arg("kernel"),
             nb::arg("rates"), nb::arg("start"))
        .def("prior", &Trainer::prior);
}

}  // namespace neuralcodec
