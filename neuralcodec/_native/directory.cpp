#include "directory.hpp"

#include <cstring>
#include <limits>

namespace neuralcodec {

namespace {

constexpr size_t most_names = size_t{256} << 20;  // front coding can say 64 KB in ten bytes; no model has such names

[[noreturn]] void refuse_header(ncd_status status, const uint8_t *bytes, size_t available, size_t size) {
    Refused r{status, "", {}, {}};
    const bool fixed = available >= 16;
    switch (status) {
        case NCD_ERR_TRUNCATED:
            r.message = "the stream ends before what its header says (" + std::to_string(size) + " bytes are there)";
            r.offset = size;
            break;
        case NCD_ERR_CHECKSUM:
            r.message = "crc32 of the header is wrong: it was damaged after it was written";
            r.offset = 12;
            break;
        case NCD_ERR_UNSUPPORTED:
            if (fixed && bytes[4] != 1) {
                r.message = "version " + std::to_string(bytes[4]) + " of the format; this decoder knows version 1";
                r.offset = 4;
            } else {
                r.message = "the header uses a flag, type or kind that this decoder does not know";
            }
            break;
        case NCD_ERR_CORRUPT:
            if (available < 4 || std::memcmp(bytes, "NCDM", 4) != 0) {
                r.message = "not a neuralcodec stream: it does not begin with NCDM";
                r.offset = 0;
            } else {
                r.message = "the header breaks a rule of the format";
            }
            break;
        default: r.message = "the decoder refused the header (status " + std::to_string(status) + ")";
    }
    throw r;
}

}  // namespace

std::shared_ptr<const ModelData> open_model(const uint8_t *bytes, size_t available, size_t size) {
    if (available > size) throw std::invalid_argument("size: at least as many bytes as given expected");
    ncd_model probe;
    ncd_status status = ncd_model_open_header(&probe, bytes, available, size);
    if (status) refuse_header(status, bytes, available, size);

    auto data = std::make_shared<ModelData>();
    data->bytes.assign(bytes, bytes + probe.payloads);
    ncd_model &m = data->model;
    status = ncd_model_open_header(&m, data->bytes.data(), data->bytes.size(), size);
    if (status) refuse_header(status, data->bytes.data(), data->bytes.size(), size);

    Cursor c{m.blob + 16, m.end};
    size_t at = static_cast<size_t>(m.end - m.blob);
    for (uint64_t n = c.varint(); n > 0; --n) {
        SharedBytes s{};
        s.kind = c.u8();
        s.size = static_cast<size_t>(c.varint());
        s.crc = c.u32();
        s.offset = at;
        if (!c.ok || s.size > data->bytes.size() - at) throw Refused{NCD_ERR_CORRUPT, "shared objects", {}, at};
        at += s.size;
        s.intact = ncd_crc32(0, data->bytes.data() + s.offset, s.size) == s.crc;
        data->shared.push_back(s);
    }

    ncd_record r{};
    std::string name;
    size_t total = 0, place = static_cast<size_t>(m.records - m.blob);
    for (uint32_t i = 0; i < m.n_tensors; ++i) {
        status = ncd_record_next(&m, &r);
        if (status) refuse_header(status, data->bytes.data(), data->bytes.size(), size);
        Record record{r, place, {}, {}, r.dtype, {}, {}};
        place = static_cast<size_t>(r.next - m.blob);
        if (m.has_names) {
            if (r.name_prefix > name.size()) throw Refused{NCD_ERR_CORRUPT, "a name's prefix is too long", {}, record.offset};
            name.resize(r.name_prefix);
            name.append(reinterpret_cast<const char *>(r.name_suffix), r.name_suffix_size);
            total += name.size();
            if (total > most_names)
                throw Refused{NCD_ERR_UNSUPPORTED, "the names of this model take more than 256 MB", {}, record.offset};
            // Refused here, once, so that every later message can show the name.
            nb::object text = nb::steal(PyUnicode_DecodeUTF8(name.data(), static_cast<Py_ssize_t>(name.size()), "strict"));
            if (!text.is_valid()) {
                PyErr_Clear();
                throw Refused{NCD_ERR_CORRUPT, "a name is not UTF-8", {}, record.offset};
            }
            record.name = name;
        }
        if (r.codec == NCD_CODEC_TIED) {
            record.tied_to = r.tied_to;
        } else {
            Cursor dims{r.dims, m.end};
            for (unsigned d = 0; d < r.ndim; ++d) record.shape.push_back(dims.varint());
            if (r.codec == NCD_CODEC_NAMED)
                record.codec_name.emplace(reinterpret_cast<const char *>(r.codec_name), r.codec_name_size);
        }
        data->records.push_back(std::move(record));
    }
    for (Record &record : data->records) {
        if (!record.tied_to) continue;
        if (*record.tied_to >= data->records.size() || data->records[*record.tied_to].tied_to)
            throw Refused{NCD_ERR_CORRUPT, "tied to no tensor", record.name, record.offset};
        const Record &other = data->records[*record.tied_to];
        record.shape = other.shape;
        record.dtype = other.dtype;
    }
    return data;
}

size_t extent(In1<uint8_t> prefix) {
    const uint8_t *p = prefix.data();
    if (prefix.size() < 16) return 16;
    Cursor fixed{p + 8, p + 12};
    const size_t header = fixed.u32();
    if (prefix.size() < header || header < 16) return header < 16 ? 16 : header;
    Cursor c{p + 16, p + header};
    size_t end = header;
    for (uint64_t n = c.varint(); n > 0 && c.ok; --n) {
        c.u8();
        const uint64_t size = c.varint();
        c.u32();
        if (!c.ok || size > std::numeric_limits<uint32_t>::max()) break;
        end += static_cast<size_t>(size);
    }
    return end;
}

}  // namespace neuralcodec
