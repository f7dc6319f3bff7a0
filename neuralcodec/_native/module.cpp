// The extension's table of contents. Each file binds its own functions; see _native.pyi for what they do.
#include "common.hpp"

NB_MODULE(_native, m) {
    nanobind::set_leak_warnings(false);  // a process that ends by os._exit, as workers of a DataLoader do, drops nothing
    m.doc() = "Kernels of the encoder, and the C decoder that firmware compiles.";
    neuralcodec::bind_stats(m);
    neuralcodec::bind_quantize(m);
    neuralcodec::bind_cluster(m);
    neuralcodec::bind_cancelling(m);
    neuralcodec::bind_lagrangian(m);
    neuralcodec::bind_codelengths(m);
    neuralcodec::bind_pack(m);
    neuralcodec::bind_planes(m);
    neuralcodec::bind_rans(m);
    neuralcodec::bind_trellis(m);
    neuralcodec::bind_trellis_search(m);
    neuralcodec::bind_rows(m);
    neuralcodec::bind_basis(m);
    neuralcodec::bind_expression(m);
    neuralcodec::bind_generative(m);
    neuralcodec::bind_generative_tune(m);
    neuralcodec::bind_autoencoder(m);
    neuralcodec::bind_decode(m);
    neuralcodec::bind_prepared(m);
}
