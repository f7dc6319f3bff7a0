// Tensors opened, and tables built, as firmware has them: see firmware/opened.h.
#include <nanobind/stl/string.h>

#include <vector>

#include "common.hpp"
#include "firmware/opened.h"
#include "reader.hpp"

namespace neuralcodec {

namespace {

[[noreturn]] void refuse(int status, uint32_t index) {
    throw Refused{static_cast<ncd_status>(status), "tensor " + std::to_string(index) + " does not open as on a microcontroller", {}, {}};
}

nb::tuple opened_tensor(nb::bytes stream, uint32_t index) {
    ncd_opened t;
    const auto *const blob = static_cast<const uint8_t *>(stream.data());
    const int status = ncd_opened_firmware_0(blob, stream.size(), index, &t);
    if (status) refuse(status, index);
    nb::dict numbers, places;
#define NUMBER(name) numbers[#name] = t.name;
    NCD_OPENED_NUMBERS(NUMBER)
#undef NUMBER
#define PLACE(name) \
    if (t.name >= 0) places[#name] = t.name;
    NCD_OPENED_PLACES(PLACE)
#undef PLACE
    nb::list tables;
    for (const int64_t at : t.tables) tables.append(at);
    const bool has_kind = t.codec == NCD_CODEC_TRELLIS && t.workspace;
    const nb::object coding = has_kind ? nb::object(nb::str(coding_of(t.kind))) : nb::object(nb::none());
    return nb::make_tuple(numbers, places, nb::tuple(tables), t.workspace, coding,
                          has_kind && t.kind == NCD_TRELLIS_CODES_WIDE);
}

nb::bytes tables_of(nb::bytes stream, uint32_t index, uint32_t size, bool byte_loads) {
    std::vector<uint32_t> words((size + 3) / 4);
    const auto prepare = byte_loads ? ncd_workspace_firmware_1 : ncd_workspace_firmware_0;
    const int status =
        prepare(static_cast<const uint8_t *>(stream.data()), stream.size(), index, words.data(), words.size() * 4);
    if (status) refuse(status, index);
    return nb::bytes(words.data(), words.size() * 4);
}

}  // namespace

void bind_prepared(nb::module_ &m) {
    m.def("opened_tensor", &opened_tensor, nb::arg("stream"), nb::arg("index"));
    m.def("prepared_tables", &tables_of, nb::arg("stream"), nb::arg("index"), nb::arg("size"), nb::arg("byte_loads"));
}

}  // namespace neuralcodec
