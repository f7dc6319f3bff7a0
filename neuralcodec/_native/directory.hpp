// A model stream as Python sees it: its directory and shared objects, read and checked by the C decoder.
//
// Errors are thrown as `Refused` wherever they occur, also without the GIL, and become exceptions of neuralcodec.errors
// at the border to Python.
#pragma once

#include <ncd.h>

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common.hpp"

namespace neuralcodec {

// A status of the C library, or one that the binding found itself, with the place.
struct Refused {
    ncd_status status;
    std::string message;
    std::optional<std::string> tensor;
    std::optional<uint64_t> offset;
};

// Reads fields of a byte string; past its end it gives zeros and remembers.
struct Cursor {
    const uint8_t *at, *end;
    bool ok = true;

    uint8_t u8() {
        if (at == end) {
            ok = false;
            return 0;
        }
        return *at++;
    }
    uint64_t varint() {
        uint64_t v = 0;
        for (unsigned shift = 0; shift < 56; shift += 7) {
            const uint8_t b = u8();
            v |= static_cast<uint64_t>(b & 127) << shift;
            if (b < 128) return v;
        }
        ok = false;
        return 0;
    }
    uint32_t u32() {
        uint32_t v = 0;
        for (unsigned b = 0; b < 4; ++b) v |= static_cast<uint32_t>(u8()) << (8 * b);
        return v;
    }
};

struct Record {
    ncd_record raw;  // its pointers reach into the model's bytes
    size_t offset;
    std::optional<std::string> name;
    std::vector<uint64_t> shape;
    uint8_t dtype;
    std::optional<uint32_t> tied_to;
    std::optional<std::string> codec_name;
};

struct SharedBytes {
    uint8_t kind;
    size_t offset, size;
    uint32_t crc;
    bool intact;
};

using Workspace = std::shared_ptr<const std::vector<uint32_t>>;

// Workspaces that were prepared with a shared object and decode other tensors that use it: of small tensors, building their
// tables would take longer than the tiles do.
class Prepared {
public:
    struct Key {
        const uint8_t *shared;
        unsigned mode;
        size_t words;
        bool operator==(const Key &other) const {
            return shared == other.shared && mode == other.mode && words == other.words;
        }
    };

    Workspace find(const Key &key) {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (const auto &[of, workspace] : last_)
            if (of == key) return workspace;
        return nullptr;
    }

    void keep(const Key &key, const Workspace &workspace) {
        const std::lock_guard<std::mutex> lock(mutex_);
        last_[next_++ % last_.size()] = {key, workspace};
    }

private:
    std::mutex mutex_;
    std::array<std::pair<Key, Workspace>, 4> last_{};  // few: a hostile header may have many shared objects
    size_t next_ = 0;
};

// Header and shared objects of a stream (a copy: the caller's file may change under us), and what they say.
struct ModelData {
    std::vector<uint8_t> bytes;
    ncd_model model{};
    std::vector<SharedBytes> shared;
    std::vector<Record> records;
    mutable Prepared prepared;

    bool holds(const uint8_t *p) const { return !std::less<>{}(p, bytes.data()) && std::less<>{}(p, bytes.data() + bytes.size()); }
};

// Reads the first `available` of a stream's `size` bytes, which hold header and shared objects.
std::shared_ptr<const ModelData> open_model(const uint8_t *bytes, size_t available, size_t size);

// How many of the first bytes of a stream hold header and shared objects, as far as `bytes` tells.
size_t extent(In1<uint8_t> prefix);

}  // namespace neuralcodec
