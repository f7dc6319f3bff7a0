// The C decoder for Python: models, and payloads that stand alone.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "reader.hpp"

namespace neuralcodec {

namespace {

const char *exception_name(ncd_status status) {
    switch (status) {
        case NCD_ERR_TRUNCATED: return "TruncatedError";
        case NCD_ERR_CORRUPT: return "CorruptError";
        case NCD_ERR_UNSUPPORTED: return "UnsupportedError";
        case NCD_ERR_CHECKSUM: return "ChecksumError";
        default: return "BitstreamError";
    }
}

void translate(const std::exception_ptr &thrown, void *) {
    try {
        std::rethrow_exception(thrown);
    } catch (const Refused &r) {
        if (r.status == NCD_ERR_ARG) {
            PyErr_SetString(PyExc_ValueError, r.message.c_str());
            return;
        }
        nb::object type = nb::module_::import_("neuralcodec.errors").attr(exception_name(r.status));
        nb::object tensor = r.tensor ? nb::object(nb::str(r.tensor->data(), r.tensor->size())) : nb::object(nb::none());
        nb::object offset = r.offset ? nb::object(nb::int_(*r.offset)) : nb::object(nb::none());
        nb::object error = type(nb::str(r.message.data(), r.message.size()), nb::arg("tensor") = tensor,
                                nb::arg("offset") = offset);
        PyErr_SetObject(type.ptr(), error.ptr());
    }
}

void put_varint(std::vector<uint8_t> &out, uint64_t v) {
    for (; v > 127; v >>= 7) out.push_back(static_cast<uint8_t>((v & 127) | 128));
    out.push_back(static_cast<uint8_t>(v));
}

void put_u32(std::vector<uint8_t> &out, uint32_t v) {
    for (unsigned b = 0; b < 4; ++b) out.push_back(static_cast<uint8_t>(v >> (8 * b)));
}

struct Model {
    std::shared_ptr<const ModelData> data;

    Model(In1<uint8_t> header, std::optional<size_t> size)
        : data(open_model(header.data(), header.size(), size.value_or(header.size()))) {}

    Reader *open(uint32_t index, nb::bytes payload) const {
        if (index >= data->records.size()) throw Refused{NCD_ERR_ARG, "index: no such tensor", {}, {}};
        return new Reader(data, data->records[index], std::move(payload));
    }
};

// A payload that stands alone, with the shared objects that it may refer to: what a codec's decode gets. It is opened
// through a header made for it, so that no check is done in two ways.
Reader *open_payload(nb::bytes payload, unsigned codec, unsigned dtype, const std::vector<uint64_t> &shape,
                     const std::vector<std::pair<unsigned, nb::bytes>> &shared, std::optional<std::string> name) {
    if (codec < 1 || codec > 254 || dtype > 255 || shape.size() > 64)
        throw Refused{NCD_ERR_ARG, "codec, dtype or shape out of range", {}, {}};
    std::vector<uint8_t> directory;
    put_varint(directory, shared.size());
    for (const auto &[kind, bytes] : shared) {
        directory.push_back(static_cast<uint8_t>(kind));
        put_varint(directory, bytes.size());
        put_u32(directory, ncd_crc32(0, bytes.data(), bytes.size()));
    }
    put_varint(directory, 1);
    directory.push_back(static_cast<uint8_t>(codec));
    directory.push_back(static_cast<uint8_t>(dtype));
    directory.push_back(static_cast<uint8_t>(shape.size()));
    for (uint64_t d : shape) put_varint(directory, d);
    put_varint(directory, payload.size());
    put_u32(directory, 0);

    std::vector<uint8_t> stream = {'N', 'C', 'D', 'M', 1, 1, 0, 0};
    put_u32(stream, static_cast<uint32_t>(16 + directory.size()));
    put_u32(stream, ncd_crc32(ncd_crc32(0, stream.data(), 12), directory.data(), directory.size()));
    stream.insert(stream.end(), directory.begin(), directory.end());
    for (const auto &[kind, bytes] : shared) {
        const auto *p = static_cast<const uint8_t *>(bytes.data());
        stream.insert(stream.end(), p, p + bytes.size());
    }
    auto data = open_model(stream.data(), stream.size(), stream.size() + payload.size());
    Record record = data->records.at(0);
    record.name = std::move(name);
    record.raw.payload_offset = 0;  // offsets in messages count from the payload: nothing else is known here
    return new Reader(data, record, std::move(payload));
}

nb::tuple as_tuple(const std::vector<uint64_t> &values) {
    nb::list list;
    for (uint64_t v : values) list.append(v);
    return nb::tuple(list);
}

}  // namespace

void bind_decode(nb::module_ &m) {
    nb::register_exception_translator(translate);

    nb::class_<Record>(m, "Record")
        .def_prop_ro("index", [](const Record &r) { return r.raw.index; })
        .def_prop_ro("name", [](const Record &r) { return r.name; })
        .def_prop_ro("codec", [](const Record &r) { return r.raw.codec; })
        .def_prop_ro("codec_name", [](const Record &r) -> nb::object {
            return r.codec_name ? nb::object(nb::bytes(r.codec_name->data(), r.codec_name->size())) : nb::object(nb::none());
        }, nb::sig("def codec_name(self) -> bytes | None"))
        .def_prop_ro("dtype", [](const Record &r) { return r.dtype; })
        .def_prop_ro("shape", [](const Record &r) { return as_tuple(r.shape); })
        .def_prop_ro("tied_to", [](const Record &r) { return r.tied_to; })
        .def_prop_ro("payload_offset", [](const Record &r) { return r.raw.payload_offset; })
        .def_prop_ro("payload_size", [](const Record &r) { return r.tied_to ? 0 : r.raw.payload_size; })
        .def_prop_ro("payload_crc", [](const Record &r) { return r.tied_to ? 0 : r.raw.payload_crc; })
        .def_ro("offset", &Record::offset);

    nb::class_<Reader>(m, "Reader")
        .def_prop_ro("rows", &Reader::rows)
        .def_prop_ro("cols", &Reader::cols)
        .def_prop_ro("tiles", [](const Reader &r) { return r.tensor().tiles; })
        .def_prop_ro("tile_rows", &Reader::tile_rows)
        .def_prop_ro("tile_cols", &Reader::tile_cols)
        .def_prop_ro("down_columns", &Reader::down_columns)
        .def_prop_ro("wide", &Reader::wide)
        .def_prop_ro("tables", [](const Reader &r) { return r.lookups() / NCD_HUFFMAN_WORKSPACE; })
        .def_prop_ro("slots", &Reader::slots)
        .def_prop_ro("coding", &Reader::coding)
        .def_prop_ro("skips", &Reader::skips)
        .def_prop_ro("wide_codes", &Reader::wide_codes)
        .def_prop_ro("nested", &Reader::nested, nb::sig("def nested(self) -> tuple[int, ...]"))
        .def_prop_ro("tile_size", [](const Reader &r) { return r.tensor().tile_size; })
        .def_prop_ro("has_levels", &Reader::levels_inside)
        .def_prop_ro("prefix_indices", &Reader::prefix_indices)
        .def_prop_ro("has_indices", &Reader::indices_inside)
        .def("place", &Reader::place, nb::arg("tile"))
        .def("elements", &Reader::elements, nb::arg("first") = 0, nb::arg("last") = nb::none())
        .def("levels", &Reader::levels, nb::arg("first") = 0, nb::arg("last") = nb::none())
        .def("wide_levels", &Reader::wide_levels, nb::arg("first") = 0, nb::arg("last") = nb::none())
        .def("indices", &Reader::indices, nb::arg("first") = 0, nb::arg("last") = nb::none())
        .def("codebooks", &Reader::codebooks)
        .def("scales", &Reader::scales)
        .def("column_scales", &Reader::column_scales);

    nb::class_<Model>(m, "Model")
        .def(nb::init<In1<uint8_t>, std::optional<size_t>>(), nb::arg("header"), nb::arg("size") = nb::none())
        .def_prop_ro("size", [](const Model &s) { return s.data->model.size; })
        .def_prop_ro("header_size", [](const Model &s) { return s.data->model.end - s.data->model.blob; })
        .def_prop_ro("payloads", [](const Model &s) { return s.data->model.payloads; })
        .def_prop_ro("has_names", [](const Model &s) { return s.data->model.has_names != 0; })
        .def_prop_ro("records", [](const Model &s) { return s.data->records; })
        .def_prop_ro("shared", [](const Model &s) {
            nb::list list;
            for (const SharedBytes &o : s.data->shared)
                list.append(nb::make_tuple(o.kind, nb::bytes(s.data->bytes.data() + o.offset, o.size), o.intact));
            return list;
        })
        .def("open", &Model::open, nb::arg("index"), nb::arg("payload"));

    m.def("extent", &extent, nb::arg("prefix"));
    m.def("open_payload", &open_payload, nb::arg("payload"), nb::arg("codec"), nb::arg("dtype"), nb::arg("shape"),
          nb::arg("shared"), nb::arg("name") = nb::none());
}

}  // namespace neuralcodec
