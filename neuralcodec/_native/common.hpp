// What the files of the extension share: array types, the cut into tiles, and CPU dispatch.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

// Compiles a function twice, for AVX2 and for any x86-64, and picks at load time. Both give the same bits: the sources
// fix the order of every sum (16 lanes), and the compiler is told not to contract a*b+c.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && \
    (defined(__clang__) ? __clang_major__ >= 14 : __GNUC__ >= 9)
#define NC_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define NC_CLONES
#endif

// For what loops spend their time in: compilers that are left to weigh it leave some of it out.
#if defined(__GNUC__)
#define NC_INLINE inline __attribute__((always_inline))
#else
#define NC_INLINE inline
#endif

namespace neuralcodec {

namespace nb = nanobind;

template <typename T>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;  // of any shape, taken in C order
template <typename T>
using In1 = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using In2 = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Out1 = nb::ndarray<nb::numpy, T, nb::ndim<1>, nb::c_contig>;
template <typename T>
using Out2 = nb::ndarray<nb::numpy, T, nb::ndim<2>, nb::c_contig>;

constexpr size_t lanes = 16;

struct Free {
    void operator()(void *p) const { std::free(p); }
};

// Memory that becomes a numpy array. Not cleared: the caller writes every element.
template <typename T>
struct Buffer {
    std::unique_ptr<T[], Free> data;
    size_t size = 0;

    explicit Buffer(size_t n) : data(static_cast<T *>(std::malloc(n ? n * sizeof(T) : 1))), size(n) {
        if (!data) throw std::bad_alloc();
    }
    T *get() { return data.get(); }

    nb::capsule owner() {
        return nb::capsule(data.release(), [](void *p) noexcept { std::free(p); });
    }
    Out1<T> array() {
        T *p = data.get();
        return Out1<T>(p, {size}, owner());
    }
    Out2<T> matrix(size_t rows, size_t cols) {
        T *p = data.get();
        return Out2<T>(p, {rows, cols}, owner());
    }
};

// Bytes that grow as tiles are added.
class Bytes {
public:
    // Room for `n` more bytes at the end; they count only after `advance`.
    uint8_t *reserve(size_t n) {
        if (capacity_ - size_ < n) {
            size_t wanted = capacity_ * 2 > size_ + n ? capacity_ * 2 : size_ + n;
            void *grown = std::realloc(data_.get(), wanted);
            if (!grown) throw std::bad_alloc();
            (void)data_.release();
            data_.reset(static_cast<uint8_t *>(grown));
            capacity_ = wanted;
        }
        return data_.get() + size_;
    }
    void advance(size_t n) { size_ += n; }
    size_t size() const { return size_; }
    nb::bytes bytes() const { return nb::bytes(data_.get() ? data_.get() : reinterpret_cast<const uint8_t *>(""), size_); }

private:
    std::unique_ptr<uint8_t, Free> data_;
    size_t size_ = 0, capacity_ = 0;
};

// Calls f(first, count) for each tile of a matrix, in order (docs/format.md, section 4). Tiles follow each other in
// memory, so first and count say all.
template <typename F>
void for_each_tile(size_t rows, size_t cols, size_t tile, F &&f) {
    if (tile < 1 || tile > 65535) throw std::invalid_argument("tile: 1 to 65535 expected");
    if (!rows || !cols) return;
    if (cols <= tile) {
        const size_t step = tile / cols * cols, n = rows * cols;
        for (size_t i = 0; i < n; i += step) f(i, n - i < step ? n - i : step);
    } else {
        for (size_t r = 0; r < rows; ++r)
            for (size_t c = 0; c < cols; c += tile) f(r * cols + c, cols - c < tile ? cols - c : tile);
    }
}

// The scale of a row, exactly as docs/format.md 6.1 has it.
float row_scale(float step, unsigned code);

// Levels times a scale.
void multiply_run(const int8_t *levels, size_t n, float scale, float *out);

// Base 2, of a positive number, to within some 1e-15. The C library's may differ by a last digit from machine to
// machine.
double log2_alike(double x);

void bind_stats(nb::module_ &m);
void bind_quantize(nb::module_ &m);
void bind_cluster(nb::module_ &m);
void bind_cancelling(nb::module_ &m);
void bind_lagrangian(nb::module_ &m);
void bind_codelengths(nb::module_ &m);
void bind_pack(nb::module_ &m);
void bind_planes(nb::module_ &m);
void bind_rans(nb::module_ &m);
void bind_trellis(nb::module_ &m);
void bind_trellis_search(nb::module_ &m);
void bind_rows(nb::module_ &m);
void bind_basis(nb::module_ &m);
void bind_expression(nb::module_ &m);
void bind_generative(nb::module_ &m);
void bind_generative_tune(nb::module_ &m);
void bind_autoencoder(nb::module_ &m);
void bind_decode(nb::module_ &m);
void bind_prepared(nb::module_ &m);

}  // namespace neuralcodec
