// The tensors of a model stream, decoded whole or tile by tile by the C decoder.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "directory.hpp"
#include "floats.hpp"

extern "C" {
#include "autoencoder.h"
#include "generative.h"
#include "trellis.h"
}

namespace neuralcodec {

// The coding of codec trellis that has this kind of workspace.
inline const char *coding_of(unsigned kind) {
    static const char *const names[] = {"contexts", "light", "rans", "prefix", "prefix"};
    return names[kind];
}

// Nothing is allocated for a tensor before ncd_tensor_bind has accepted its payload's header.
class Reader {
public:
    // The payload's crc32 is the caller's to check.
    Reader(std::shared_ptr<const ModelData> model, const Record &record, nb::bytes payload)
        : model_(std::move(model)), record_(record), payload_(std::move(payload)), begin_(static_cast<const uint8_t *>(payload_.data())) {
        if (record.tied_to) throw Refused{NCD_ERR_ARG, "the tensor is tied to another one: open that", {}, {}};
        if (payload_.size() != record.raw.payload_size)
            throw Refused{NCD_ERR_ARG, "payload: " + std::to_string(record.raw.payload_size) + " bytes expected, not " +
                                           std::to_string(payload_.size()), {}, {}};
        ncd_status status = ncd_tensor_bind(&model_->model, &record_.raw, begin_, &t_);
        if (status == NCD_ERR_UNSUPPORTED) {
            if (record_.codec_name)
                refuse(status, "codec '" + *record_.codec_name + "' is not one of the C decoder's");
            // The first field of its header that the decoder did not know is where its tables would be.
            if (record_.raw.codec == NCD_CODEC_GENERATIVE && t_.tables[0] && t_.tables[0] < t_.end &&
                *t_.tables[0] != NCD_GENERATIVE_VERSION)
                refuse(status, "version " + std::to_string(*t_.tables[0]) + " of the prior of codec generative; this decoder has version " +
                                   std::to_string(static_cast<int>(NCD_GENERATIVE_VERSION)));
            refuse(status, unknown_model() + "codec " + std::to_string(record_.raw.codec) + ", or a mode of it, that this decoder does not know");
        }
        // Of a shared object that the payload refers to.
        if (status == NCD_ERR_CHECKSUM)
            refuse(status, "crc32 of a shared table is wrong: it was damaged after it was written");
        if (status) refuse(status, "the payload's header breaks a rule of the format");
        status = prepare();
        if (status) refuse(status, t_.codec == NCD_CODEC_REGRESSION ? "the stored rows break a rule of the format"
                                                                     : "the code table breaks a rule of the format");
    }

    // Where a payload of codec autoencoder, or a tuned model that it uses, names a universal model that is not here: words
    // that say which.
    std::string unknown_model() const {
        if (record_.raw.codec != NCD_CODEC_AUTOENCODER || payload_.size() < 2 || begin_[0] >> 3) return "";
        uint64_t version;
        if (begin_[0] >> 2) {  // a shared object, which has been found good as far as its version
            if (!t_.model || t_.model[0] != NCD_AE_TUNED || t_.model[1] >= NCD_AE_CLASSES) return "";
            version = ncd_ae_u32(t_.model + 2);
        } else {
            Cursor c{begin_ + 1, begin_ + payload_.size()};
            c.varint();
            c.u32();
            version = c.varint();
            if (!c.ok) return "";
        }
        size_t size;
        if (version <= std::numeric_limits<uint32_t>::max() && ncd_ae_universal(static_cast<uint32_t>(version), &size)) return "";
        return "version " + std::to_string(version) + " of the universal model: ";
    }

    const ncd_tensor &tensor() const { return t_; }
    const Record &record() const { return record_; }

    bool levels_inside() const { return t_.mode == 0 || wide(); }
    bool wide() const { return t_.mode == 3; }
    bool down_columns() const { return t_.columns != 0; }

    // The tensor's own matrix and tiles.
    uint32_t rows() const { return t_.columns ? t_.cols : t_.rows; }
    uint32_t cols() const { return t_.columns ? t_.rows : t_.cols; }
    uint32_t tile_rows() const { return t_.columns ? t_.tile_cols : t_.tile_rows; }
    uint32_t tile_cols() const { return t_.columns ? t_.tile_rows : t_.tile_cols; }
    bool prefix_indices() const { return t_.codec == NCD_CODEC_KMEANS && t_.coding == 1; }
    bool indices_inside() const { return t_.codec == NCD_CODEC_KMEANS && t_.tiles > 0; }

    // Bytes of look-ups for prefix codes, or of what else firmware prepares a tensor in: one of the two is 0.
    size_t lookups() const {
        return uses_rans() || t_.codec == NCD_CODEC_REGRESSION || t_.codec == NCD_CODEC_GENERATIVE ? 0 : ncd_tensor_workspace(&t_);
    }
    size_t slots() const {
        if (t_.codec == NCD_CODEC_TRELLIS || t_.codec == NCD_CODEC_REGRESSION) return t_.least_workspace;
        return uses_rans() || t_.codec == NCD_CODEC_GENERATIVE ? ncd_tensor_workspace(&t_) : 0;
    }

    // Codecs of nested tensors.
    nb::tuple nested() const {
        nb::list found;
        if (t_.codec == NCD_CODEC_REGRESSION && t_.stored) found.append(t_.stored_codec);
        if (t_.codec == NCD_CODEC_REGRESSION && t_.residual) found.append(t_.residual_codec);
        return nb::tuple(found);
    }

    // What firmware needs for tiles of codec trellis; null for other codecs, and where all levels are 0.
    const char *coding() const {
        return t_.codec == NCD_CODEC_TRELLIS && t_.least_workspace ? coding_of(t_.least_kind) : nullptr;
    }

    // Whether firmware needs NCD_TRELLIS_SKIP.
    bool skips() const { return t_.codec == NCD_CODEC_TRELLIS && t_.coded_rows; }

    // Whether firmware needs more than the tables of prefix codes of few states.
    bool wide_codes() const {
        return t_.codec == NCD_CODEC_TRELLIS && t_.least_workspace && t_.least_kind == NCD_TRELLIS_CODES_WIDE;
    }

    nb::tuple place(uint32_t tile) const {
        const Place p = locate(tile);
        return t_.columns ? nb::make_tuple(p.col, p.row, p.cols, p.rows) : nb::make_tuple(p.row, p.col, p.rows, p.cols);
    }

    // Element bytes of tiles first .. last-1, which are contiguous in the tensor; of one tile or all where it is coded
    // down its columns.
    Out1<uint8_t> elements(uint32_t first, std::optional<uint32_t> last) const {
        return decoded<uint8_t>(first, last, t_.elem_size, [&](uint32_t stop, uint8_t *out, size_t size) {
            if (t_.codec == NCD_CODEC_TRELLIS || (t_.codec == NCD_CODEC_GENERATIVE && levels_inside()) || t_.codec == NCD_CODEC_AUTOENCODER || wide())
                scaled_levels(first, stop, out);
            else if (levels_inside())
                weights(first, stop, out);
            else if (t_.mode == 2)
                centroids(first, stop, out);
            else
                each(first, stop, t_.elem_size, out, size, [&](uint32_t i, uint8_t *to, size_t room) {
                    return ncd_decode_tile_bytes(&t_, i, to, room, workspace());
                });
        });
    }

    Out1<int16_t> wide_levels(uint32_t first, std::optional<uint32_t> last) const {
        if (!levels_inside()) throw Refused{NCD_ERR_ARG, "the tensor is not stored as levels", {}, {}};
        return decoded<int16_t>(first, last, 1, [&](uint32_t stop, int16_t *out, size_t size) { words(first, stop, out, size); });
    }

    Out1<int8_t> levels(uint32_t first, std::optional<uint32_t> last) const {
        if (wide()) throw Refused{NCD_ERR_ARG, "the tensor's levels have 16 bits", {}, {}};
        if (!levels_inside() && t_.dtype != NCD_I8) throw Refused{NCD_ERR_ARG, "the tensor is not stored as levels", {}, {}};
        return decoded<int8_t>(first, last, 1, [&](uint32_t stop, int8_t *out, size_t size) { bytes(first, stop, out, size); });
    }

    Out1<uint8_t> indices(uint32_t first, std::optional<uint32_t> last) const {
        if (!indices_inside()) throw Refused{NCD_ERR_ARG, "the tensor is not stored as indices", {}, {}};
        return decoded<uint8_t>(first, last, 1, [&](uint32_t stop, uint8_t *out, size_t size) {
            std::vector<uint32_t> plain(workspace_->size());
            const ncd_status status = ncd_tensor_prepare_indices(&t_, plain.data(), plain.size() * 4);
            if (status) refuse(status, "the table breaks a rule of the format");
            each(first, stop, 1, out, size, [&](uint32_t i, uint8_t *to, size_t room) {
                return ncd_decode_tile_indices(&t_, i, to, room, plain.empty() ? nullptr : plain.data());
            });
        });
    }

    Out2<float> codebooks() const {
        if (!indices_inside()) throw Refused{NCD_ERR_ARG, "the tensor is not stored as indices", {}, {}};
        const uint32_t groups = t_.group_rows ? (t_.rows - 1) / t_.group_rows + 1 : 1;
        Buffer<float> out = allocate<float>(static_cast<uint64_t>(groups) * t_.centroids, 1);
        for (uint32_t g = 0; g < groups; ++g) codebook(g * t_.group_rows, out.get() + static_cast<size_t>(g) * t_.centroids);
        return out.matrix(groups, t_.centroids);
    }

    Out1<float> scales() const {
        if (t_.mode == 1) throw Refused{NCD_ERR_ARG, "the tensor is stored neither as levels nor as indices", {}, {}};
        Buffer<float> out = allocate<float>(rows(), 1);
        for (uint32_t r = 0; r < rows(); ++r) out.get()[r] = ncd_row_scale(&t_, r);
        return out.array();
    }

    Out1<float> column_scales() const {
        if (t_.mode == 1) throw Refused{NCD_ERR_ARG, "the tensor is stored neither as levels nor as indices", {}, {}};
        Buffer<float> out = allocate<float>(cols(), 1);
        for (uint32_t c = 0; c < cols(); ++c) out.get()[c] = ncd_column_scale(&t_, c);
        return out.array();
    }

private:
    struct Place {
        uint32_t row, col, rows, cols;
    };

    [[noreturn]] void refuse(ncd_status status, std::string message) const {
        throw Refused{status, std::move(message), record_.name, record_.raw.payload_offset};
    }

    ncd_status prepare() {
        const size_t words = (ncd_tensor_workspace(&t_) + 3) / 4;
        const Prepared::Key key{t_.tables[0], t_.mode, words};
        const bool shared = t_.codec == NCD_CODEC_TRELLIS && words && model_->holds(t_.tables[0]);
        if (shared) workspace_ = model_->prepared.find(key);
        if (workspace_) return NCD_OK;
        const auto made = std::make_shared<std::vector<uint32_t>>(words);
        const ncd_status status = ncd_tensor_prepare(&t_, made->data(), words * 4);
        workspace_ = made;
        if (status == NCD_OK && shared) model_->prepared.keep(key, workspace_);
        return status;
    }

    const void *workspace() const {
        if (workspace_->empty()) return nullptr;
        if (t_.codec != NCD_CODEC_GENERATIVE && t_.codec != NCD_CODEC_AUTOENCODER) return workspace_->data();
        // Their decoders write to the workspace, and several threads may read the same tensor.
        if (t_.codec == NCD_CODEC_AUTOENCODER) {
            static thread_local std::vector<uint32_t> blank;
            if (blank.size() < workspace_->size()) blank.resize(workspace_->size());
            blank[0] = workspace_->front(); // which tells whose it is
            return blank.data();
        }
        // A tile puts everything back but tables that are the same for all tensors; copying them takes longer than short tiles.
        static thread_local std::vector<uint32_t> own;
        if (own.size() < workspace_->size() ||
            !ncd_generative_is_prepared(&t_, reinterpret_cast<const ncd_generative_model *>(own.data())))
            own = *workspace_;
        return own.data();
    }

    bool uses_rans() const { return t_.codec == NCD_CODEC_TRELLIS || t_.codec == NCD_CODEC_AUTOENCODER || (indices_inside() && t_.coding == 2); }

    // The codebook of a row as floats.
    void codebook(uint32_t row, float *out) const {
        const uint8_t *book;
        uint32_t count;
        if (ncd_codebook(&t_, row, &book, &count)) refuse(NCD_ERR_CORRUPT, "the tensor has no codebook");
        for (uint32_t i = 0; i < count; ++i) {
            const uint8_t *p = book + i * (t_.centroid_type == NCD_CENTROID_F32 ? 4 : t_.centroid_type == NCD_CENTROID_I8 ? 1 : 2);
            if (t_.centroid_type == NCD_CENTROID_I8)
                out[i] = static_cast<float>(static_cast<int8_t>(*p));
            else if (t_.centroid_type == NCD_CENTROID_F16)
                out[i] = half(static_cast<uint32_t>(p[0] | p[1] << 8));
            else {
                uint32_t bits = static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8;
                if (t_.centroid_type == NCD_CENTROID_BF16)
                    bits <<= 16;
                else
                    bits |= static_cast<uint32_t>(p[2]) << 16 | static_cast<uint32_t>(p[3]) << 24;
                std::memcpy(out + i, &bits, 4);
            }
        }
    }

    static float half(uint32_t bits) {
        const uint32_t exponent = bits >> 10 & 31, mantissa = bits & 1023;
        float f;
        if (exponent == 0) {
            f = static_cast<float>(mantissa) * 0x1p-24f;
        } else {
            const uint32_t wide = exponent == 31 ? 0x7F800000u | mantissa << 13 : (exponent + 112) << 23 | mantissa << 13;
            std::memcpy(&f, &wide, 4);
        }
        return bits >> 15 ? -f : f;
    }

    Place locate(uint32_t tile) const {
        Place p;
        if (ncd_tile_place(&t_, tile, &p.row, &p.col, &p.rows, &p.cols))
            throw Refused{NCD_ERR_ARG, "tile: below " + std::to_string(t_.tiles) + " expected", {}, {}};
        return p;
    }

    uint32_t range(uint32_t first, std::optional<uint32_t> last) const {
        const uint32_t stop = last.value_or(t_.tiles);
        if (first > stop || stop > t_.tiles)
            throw Refused{NCD_ERR_ARG, "tiles: a range within 0 to " + std::to_string(t_.tiles) + " expected", {}, {}};
        return stop;
    }

    // Place of tiles in the tensor, in elements.
    std::pair<uint64_t, uint64_t> span(uint32_t first, uint32_t stop) const {
        if (first == stop) return {0, 0};
        const Place a = locate(first), b = locate(stop - 1);
        const uint64_t begin = static_cast<uint64_t>(a.row) * t_.cols + a.col;
        const uint64_t end = static_cast<uint64_t>(b.row) * t_.cols + b.col + static_cast<uint64_t>(b.rows) * b.cols;
        return {begin, end};
    }

    // Bytes that this machine has, as far as it tells.
    static uint64_t memory() {
        const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        return pages > 0 && page > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page)
                                     : std::numeric_limits<size_t>::max();
    }

    // What decode(stop, destination, items) makes of tiles, without the GIL; `per` items of T are one element.
    template <typename T, typename F>
    Out1<T> decoded(uint32_t first, std::optional<uint32_t> last, size_t per, F &&decode) const {
        const uint32_t stop = range(first, last);
        const auto [begin, end] = span(first, stop);
        Buffer<T> out = allocate<T>(end - begin, per);
        {
            nb::gil_scoped_release release;
            decode(stop, out.get(), out.size);
            turn(first, stop, per, out);
        }
        return out.array();
    }

    template <typename T>
    Buffer<T> allocate(uint64_t n, uint64_t per) const {
        // A few bytes can ask for any number of equal weights, and the kernel promises memory that it does not have.
        static const uint64_t there = memory();
        const uint64_t each = per * sizeof(T);
        if (n <= there / each) {
            try {
                return Buffer<T>(static_cast<size_t>(n * per));
            } catch (const std::bad_alloc &) {
            }
        }
        refuse(NCD_ERR_UNSUPPORTED, "the decoded tensor needs " + std::to_string(n * each) +
                                        " bytes of memory, more than this machine can give");
    }

    // Calls decode(tile, destination, room) for each tile; `per` items of T are one element.
    template <typename T, typename F>
    void each(uint32_t first, uint32_t stop, size_t per, T *out, size_t size, F &&decode) const {
        size_t at = 0;
        for (uint32_t i = first; i < stop; ++i) {
            const Place p = locate(i);
            const ncd_status status = decode(i, out + at, size - at);
            if (status) refuse_tile(i, status);
            at += static_cast<size_t>(p.rows) * p.cols * per;
        }
    }

    // Levels of 8 bits, or i8 weights, of tiles.
    void bytes(uint32_t first, uint32_t stop, int8_t *out, size_t size) const {
        if (ncd_decode_tiles_i8(&t_, first, stop, out, size, workspace()) != NCD_OK)
            each(first, stop, 1, out, size, [&](uint32_t i, int8_t *to, size_t room) {  // which one is it?
                return ncd_decode_tile_i8(&t_, i, to, room, workspace());
            });
    }

    // Levels of 16 bits, or levels of 8 bits widened.
    void words(uint32_t first, uint32_t stop, int16_t *out, size_t size) const {
        if (ncd_decode_tiles_i16(&t_, first, stop, out, size, workspace()) != NCD_OK)
            each(first, stop, 1, out, size, [&](uint32_t i, int16_t *to, size_t room) {
                return ncd_decode_tile_i16(&t_, i, to, room, workspace());
            });
    }

    [[noreturn]] void refuse_tile(uint32_t tile, ncd_status status) const {
        refuse(status, "tile " + std::to_string(tile) + ": its data break a rule of the format");
    }

    // Floats to the tensor's dtype.
    void narrow(const float *from, size_t n, uint8_t *out) const {
        if (t_.dtype == NCD_F64)
            to_f64(from, n, reinterpret_cast<double *>(out));
        else if (t_.dtype == NCD_BF16)
            to_bf16(from, n, reinterpret_cast<uint16_t *>(out));
        else if (t_.dtype == NCD_F16)
            to_f16(from, n, reinterpret_cast<uint16_t *>(out));
        else
            std::memcpy(out, from, n * 4);
    }

    // Centroids times scales. The few values that a row can have are rounded to the dtype first, then looked up.
    void centroids(uint32_t first, uint32_t stop, uint8_t *out) const {
        Buffer<uint8_t> at(t_.tile_size);
        std::vector<float> book(t_.centroids), scaled(t_.centroids);
        std::vector<uint8_t> values(size_t{t_.centroids} * 8);
        uint32_t known = std::numeric_limits<uint32_t>::max();  // the row that `values` was made for
        const bool scales = t_.step_bits != 0;
        for (uint32_t i = first; i < stop; ++i) {
            const Place p = locate(i);
            const ncd_status status = ncd_decode_tile_indices(&t_, i, at.get(), at.size, workspace());
            if (status) refuse_tile(i, status);
            const uint8_t *index = at.get();
            for (uint32_t r = 0; r < p.rows; ++r) {
                const uint32_t row = p.row + r;
                const bool same = known != std::numeric_limits<uint32_t>::max() &&
                                  (row == known || (!t_.scale_width && (!t_.group_rows || row / t_.group_rows == known / t_.group_rows)));
                if (!same) {
                    codebook(row, book.data());
                    const float scale = ncd_row_scale(&t_, row);
                    for (size_t k = 0; k < book.size(); ++k) scaled[k] = scales ? book[k] * scale : book[k];
                    narrow(scaled.data(), scaled.size(), values.data());
                    for (size_t k = 0; k < book.size(); ++k) {  // rounding may make an infinity of a NaN
                        if (scaled[k] == scaled[k]) continue;
                        const uint16_t nan = t_.dtype == NCD_BF16 ? 0x7FC0 : 0x7E00;
                        if (t_.elem_size == 2) std::memcpy(values.data() + 2 * k, &nan, 2);
                    }
                    known = row;
                }
                look_up(index, p.cols, values.data(), out);
                index += p.cols;
                out += size_t{p.cols} * t_.elem_size;
            }
        }
    }

    void look_up(const uint8_t *index, size_t n, const uint8_t *values, uint8_t *out) const {
        auto copy = [&](auto type) {
            using T = decltype(type);
            T table[256];
            std::memcpy(table, values, t_.centroids * sizeof(T));
            for (size_t i = 0; i < n; ++i) std::memcpy(out + i * sizeof(T), table + index[i], sizeof(T));
        };
        if (t_.elem_size == 2)
            copy(uint16_t{});
        else if (t_.elem_size == 4)
            copy(uint32_t{});
        else
            copy(uint64_t{});
    }

    // Levels times scales, rounded to f32 and then to the dtype. As ncd_decode_tile_f32, but with vectors: it works in
    // place, which saves firmware a buffer and costs a host half the speed.
    void weights(uint32_t first, uint32_t stop, uint8_t *out) const {
        Buffer<int8_t> levels(t_.tile_size);
        Buffer<float> floats(t_.tile_size);
        for (uint32_t i = first; i < stop; ++i) {
            const Place p = locate(i);
            const size_t n = static_cast<size_t>(p.rows) * p.cols;
            const ncd_status status = ncd_decode_tile_i8(&t_, i, levels.get(), levels.size, workspace());
            if (status) refuse_tile(i, status);
            // malloc's memory is aligned for any type, and the elements before a tile keep it so.
            float *to = t_.dtype == NCD_F32 ? reinterpret_cast<float *>(out) : floats.get();
            for (uint32_t r = 0; r < p.rows; ++r) {
                const size_t at = static_cast<size_t>(r) * p.cols;
                multiply_run(levels.get() + at, p.cols, ncd_row_scale(&t_, p.row + r), to + at);
            }
            if (t_.dtype != NCD_F32) narrow(to, n, out);
            out += n * t_.elem_size;
        }
    }

    // What was decoded down the columns, in the order of the tensor; `per` items of T are one element.
    template <typename T>
    void turn(uint32_t first, uint32_t stop, size_t per, Buffer<T> &out) const {
        if (!t_.columns || first == stop) return;
        const bool whole = first == 0 && stop == t_.tiles;
        if (!whole && stop - first > 1)
            throw Refused{NCD_ERR_ARG, "tiles: one, or all, expected of a tensor that is coded down its columns", {}, {}};
        const Place p = locate(first);
        const size_t down = whole ? t_.rows : p.rows, across = whole ? t_.cols : p.cols;
        Buffer<T> turned(out.size);
        constexpr size_t block = 32;  // lines of both matrices stay in the cache
        for (size_t r0 = 0; r0 < down; r0 += block)
            for (size_t c0 = 0; c0 < across; c0 += block)
                for (size_t r = r0; r < std::min(r0 + block, down); ++r)
                    for (size_t c = c0; c < std::min(c0 + block, across); ++c)
                        std::memcpy(turned.get() + (c * down + r) * per, out.get() + (r * across + c) * per, per * sizeof(T));
        out = std::move(turned);
    }

    // Levels times the scales of their row and column. As ncd_decode_tile_f32, but with vectors.
    void scaled_levels(uint32_t first, uint32_t stop, uint8_t *out) const {
        std::vector<float> by_row(rows()), by_col;
        for (uint32_t r = 0; r < rows(); ++r) by_row[r] = ncd_row_scale(&t_, r);
        if (t_.column_scale_width) {
            by_col.resize(cols());
            for (uint32_t c = 0; c < cols(); ++c) by_col[c] = ncd_column_scale(&t_, c);
        }
        Buffer<int16_t> wide_levels(wide() ? size_t{together} * t_.tile_size : 0);
        Buffer<int8_t> narrow_levels(wide() ? 0 : size_t{together} * t_.tile_size);
        Buffer<float> floats(t_.tile_size);
        const int16_t *wide_at = nullptr;
        const int8_t *narrow_at = nullptr;
        for (uint32_t i = first; i < stop; ++i) {
            const Place p = locate(i);
            const size_t n = static_cast<size_t>(p.rows) * p.cols;
            if ((i - first) % together == 0) {
                const uint32_t last = stop - i < together ? stop : i + together;
                if (wide())
                    words(i, last, wide_levels.get(), wide_levels.size);
                else
                    bytes(i, last, narrow_levels.get(), narrow_levels.size);
                wide_at = wide_levels.get();
                narrow_at = narrow_levels.get();
            }
            float *to = t_.dtype == NCD_F32 ? reinterpret_cast<float *>(out) : floats.get();
            for (uint32_t r = 0; r < p.rows; ++r) {
                const size_t at = static_cast<size_t>(r) * p.cols;
                float *const line = to + at;
                if (!t_.columns && !wide())
                    multiply_run(narrow_at + at, p.cols, by_row[p.row + r], line);
                else if (!t_.columns)
                    for (uint32_t c = 0; c < p.cols; ++c) line[c] = static_cast<float>(wide_at[at + c]) * by_row[p.row + r];
                else if (wide())
                    for (uint32_t c = 0; c < p.cols; ++c) line[c] = static_cast<float>(wide_at[at + c]) * by_row[p.col + c];
                else
                    for (uint32_t c = 0; c < p.cols; ++c) line[c] = static_cast<float>(narrow_at[at + c]) * by_row[p.col + c];
                if (by_col.empty()) continue;
                for (uint32_t c = 0; c < p.cols; ++c) line[c] *= by_col[t_.columns ? p.row + r : p.col + c];
            }
            if (t_.dtype != NCD_F32) narrow(to, n, out);
            out += n * t_.elem_size;
            if (wide())
                wide_at += n;
            else
                narrow_at += n;
        }
    }

    static constexpr uint32_t together = 16;  // tiles, which the C decoder takes at a time at most

    std::shared_ptr<const ModelData> model_;
    Record record_;
    nb::bytes payload_;
    const uint8_t *begin_;  // of the payload
    ncd_tensor t_{};
    Workspace workspace_;
};

}  // namespace neuralcodec
