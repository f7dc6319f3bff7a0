// Genetic programming of an expression for weights (docs/format.md, section 13.3): Cartesian genetic programming with a
// (1 + 4) strategy (Miller 2011), in the arithmetic of decoders. The weights that an expression misses most are stored,
// and do not count (GPAM: Juza and Sekanina 2023).
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include "common.hpp"

namespace neuralcodec {

namespace {

enum { add, sub, mul, mul_high, divide, least, most, magnitude, less, exclusive, both, shift, sine, mean, sign, operations };
constexpr size_t inputs = 11, used_inputs = 9, chunk = 256, children = 4;

int16_t low16(int32_t v) { return static_cast<int16_t>(static_cast<uint16_t>(static_cast<uint32_t>(v) & 0xFFFFu)); }

int16_t sine_of(int32_t a) {
    const int32_t x = a & 511, z = x * (512 - x);
    const int32_t s = static_cast<int32_t>((static_cast<int64_t>(z) << 14) / (1310720 - 4 * z));
    return static_cast<int16_t>(a & 512 ? -s : s);
}

template <typename F>
void each(const int16_t *a, const int16_t *b, int16_t *out, size_t n, F f) {
    for (size_t i = 0; i < n; ++i) out[i] = f(static_cast<int32_t>(a[i]), static_cast<int32_t>(b[i]));
}

NC_CLONES void apply(uint32_t op, const int16_t *a, const int16_t *b, int16_t *out, size_t n) {
    switch (op) {
        case add: each(a, b, out, n, [](int32_t x, int32_t y) { return low16(x + y); }); break;
        case sub: each(a, b, out, n, [](int32_t x, int32_t y) { return low16(x - y); }); break;
        case mul: each(a, b, out, n, [](int32_t x, int32_t y) { return low16(x * y); }); break;
        case mul_high: each(a, b, out, n, [](int32_t x, int32_t y) { return low16(x * y >> 8); }); break;
        case divide: each(a, b, out, n, [](int32_t x, int32_t y) { return y == 0 ? int16_t{0} : low16(x * 256 / y); }); break;
        case least: each(a, b, out, n, [](int32_t x, int32_t y) { return static_cast<int16_t>(std::min(x, y)); }); break;
        case most: each(a, b, out, n, [](int32_t x, int32_t y) { return static_cast<int16_t>(std::max(x, y)); }); break;
        case magnitude: each(a, b, out, n, [](int32_t x, int32_t) { return low16(x < 0 ? -x : x); }); break;
        case less: each(a, b, out, n, [](int32_t x, int32_t y) { return static_cast<int16_t>(x < y ? 256 : 0); }); break;
        case exclusive: each(a, b, out, n, [](int32_t x, int32_t y) { return low16(x ^ y); }); break;
        case both: each(a, b, out, n, [](int32_t x, int32_t y) { return low16(x & y); }); break;
        case shift: each(a, b, out, n, [](int32_t x, int32_t y) { return low16(x >> (y & 15)); }); break;
        case sine: each(a, b, out, n, [](int32_t x, int32_t) { return sine_of(x); }); break;
        case mean: each(a, b, out, n, [](int32_t x, int32_t y) { return low16((x + y) >> 1); }); break;
        default: each(a, b, out, n, [](int32_t x, int32_t y) { return low16(y < 0 ? -x : x); });
    }
}

// Numbers that are the same everywhere (splitmix64, Steele, Lea and Flood 2014).
struct Random {
    uint64_t state;
    uint64_t next() {
        uint64_t z = state += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        return z ^ z >> 31;
    }
    uint32_t below(uint32_t n) { return static_cast<uint32_t>((next() >> 32) * n >> 32); }
};

struct Node {
    uint8_t operation, a, b;
};

struct Program {
    std::vector<int16_t> constants;
    std::vector<Node> nodes;
    uint8_t output;
};

class Search {
public:
    // weights: in units of levels, [rows, cols]. importance: of the squared error of each. stored: weights that are stored
    // whatever the expression gives, or none. left_out: how many of the others are stored besides, those with the largest
    // errors. places: int16 [9, rows * cols], the inputs.
    Search(In1<float> weights, std::optional<In1<float>> importance, std::optional<In1<uint8_t>> stored, size_t left_out,
           In2<int16_t> places, size_t constants, size_t nodes, bool wide, uint64_t seed)
        : left_out_(left_out), limit_(wide ? 32767 : 127), random_{seed} {
        const size_t n = weights.size();
        if (places.shape(0) != used_inputs || places.shape(1) != n || (importance && importance->size() != n) ||
            (stored && stored->size() != n) || constants < 1 || constants > 32 || nodes < 1 || nodes > 64 || left_out > n)
            throw std::invalid_argument("weights, importance, stored, places: as many of each, and 1 to 64 nodes, expected");
        for (size_t i = 0; i < n; ++i) {
            if (stored && stored->data()[i]) continue;
            weights_.push_back(weights.data()[i]);
            importance_.push_back(importance ? importance->data()[i] : 1.0f);
            for (size_t k = 0; k < used_inputs; ++k) places_[k].push_back(places.data()[k * n + i]);
        }
        left_out_ = std::min(left_out_, weights_.size());
        for (size_t k = 0; k < used_inputs; ++k) {  // those that vary
            const auto [low, high] = std::minmax_element(places_[k].begin(), places_[k].end());
            if (low != places_[k].end() && *low != *high) sources_.push_back(static_cast<uint8_t>(k));
        }
        program_.constants.resize(constants);
        for (size_t k = 0; k < constants; ++k)
            program_.constants[k] = static_cast<int16_t>(k == 0 ? median() : (k & 1 ? 1 : -1) * static_cast<int>(random_.below(1u << (2 + k % 9))));
        program_.nodes.resize(nodes);
        for (size_t k = 0; k < nodes; ++k) program_.nodes[k] = {operation(), reference(k), reference(k)};
        program_.output = static_cast<uint8_t>(inputs);  // the first constant: never worse than one value for all
        error_ = evaluate(program_);
    }

    double run(uint32_t generations) {
        nb::gil_scoped_release release;
        for (uint32_t g = 0; g < generations; ++g) {
            Program best;
            double least_error = std::numeric_limits<double>::infinity();
            for (size_t c = 0; c < children; ++c) {
                Program child = program_;
                mutate(child);
                const double error = evaluate(child);
                if (error <= least_error) best = std::move(child), least_error = error;
            }
            if (least_error <= error_) program_ = std::move(best), error_ = least_error;
            ++generations_;
        }
        return error_;
    }

    double error() const { return error_; }
    uint64_t generations() const { return generations_; }

    // Constants, nodes (operation, a, b) and output, of what matters only, renumbered.
    std::tuple<std::vector<int>, std::vector<std::vector<int>>, int> best() const {
        const std::vector<bool> used = active(program_);
        const size_t first_node = inputs + program_.constants.size();
        std::vector<int> place(first_node + program_.nodes.size());
        std::vector<int> constants;
        std::vector<std::vector<int>> nodes;
        for (size_t i = 0; i < inputs; ++i) place[i] = static_cast<int>(i);
        for (size_t i = inputs; i < first_node; ++i)
            if (used[i]) {
                place[i] = static_cast<int>(inputs + constants.size());
                constants.push_back(program_.constants[i - inputs]);
            }
        for (size_t i = first_node; i < place.size(); ++i)
            if (used[i]) {
                const Node &node = program_.nodes[i - first_node];
                place[i] = static_cast<int>(inputs + constants.size() + nodes.size());
                const bool one = is_unary(node.operation);
                nodes.push_back({node.operation, place[node.a], one ? place[node.a] : place[node.b]});
            }
        return {constants, nodes, place[program_.output]};
    }

    // All that a search goes on from.
    nb::bytes state() const {
        std::vector<uint8_t> out(16);
        std::memcpy(out.data(), &random_.state, 8);
        std::memcpy(out.data() + 8, &generations_, 8);
        out.push_back(static_cast<uint8_t>(program_.constants.size()));
        out.push_back(static_cast<uint8_t>(program_.nodes.size()));
        for (int16_t c : program_.constants) out.push_back(static_cast<uint8_t>(c & 255)), out.push_back(static_cast<uint8_t>(c >> 8 & 255));
        for (const Node &node : program_.nodes) out.insert(out.end(), {node.operation, node.a, node.b});
        out.push_back(program_.output);
        return nb::bytes(out.data(), out.size());
    }

    void resume(nb::bytes state) {
        const auto *p = static_cast<const uint8_t *>(state.data());
        const size_t constants = program_.constants.size(), nodes = program_.nodes.size();
        if (state.size() != 18 + 2 * constants + 3 * nodes + 1 || p[16] != constants || p[17] != nodes)
            throw std::invalid_argument("state: that of a search like this one expected");
        Program read = program_;
        const uint8_t *at = p + 18;
        for (size_t k = 0; k < constants; ++k, at += 2) read.constants[k] = static_cast<int16_t>(at[0] | at[1] << 8);
        for (size_t k = 0; k < nodes; ++k, at += 3) read.nodes[k] = {at[0], at[1], at[2]};
        read.output = *at;
        for (size_t k = 0; k < nodes; ++k)
            if (read.nodes[k].operation >= operations || std::max(read.nodes[k].a, read.nodes[k].b) >= inputs + constants + k)
                throw std::invalid_argument("state: nodes out of order");
        if (read.output >= inputs + constants + nodes) throw std::invalid_argument("state: no such output");
        std::memcpy(&random_.state, p, 8);
        std::memcpy(&generations_, p + 8, 8);
        program_ = std::move(read);
        error_ = evaluate(program_);
    }

private:
    static bool is_unary(uint8_t operation) { return operation == magnitude || operation == sine; }

    int median() const {
        if (weights_.empty()) return 0;
        std::vector<float> sorted(weights_);
        std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2), sorted.end());
        return static_cast<int>(std::clamp(std::nearbyint(sorted[sorted.size() / 2]), -32768.0f, 32767.0f));
    }

    uint8_t operation() { return static_cast<uint8_t>(random_.below(operations)); }

    // An input that varies, a constant, or a node before node k.
    uint8_t reference(size_t k) {
        const size_t constants = program_.constants.size();
        const uint32_t kind = random_.below(4);
        if (kind == 0 && !sources_.empty()) return sources_[random_.below(static_cast<uint32_t>(sources_.size()))];
        if (kind == 1 || k == 0) return static_cast<uint8_t>(inputs + random_.below(static_cast<uint32_t>(constants)));
        return static_cast<uint8_t>(inputs + constants + random_.below(static_cast<uint32_t>(k)));
    }

    // Changes genes until one is hit that matters, so that no child is its parent's twin.
    void mutate(Program &p) {
        const std::vector<bool> used = active(p);
        const auto nodes = static_cast<uint32_t>(p.nodes.size()), constants = static_cast<uint32_t>(p.constants.size());
        const size_t first_node = inputs + constants;
        for (bool hit = false; !hit;) {
            const uint32_t gene = random_.below(3 * nodes + constants + 2);
            if (gene < 3 * nodes) {
                const size_t k = gene / 3;
                Node &node = p.nodes[k];
                if (gene % 3 == 0)
                    node.operation = operation();
                else
                    (gene % 3 == 1 ? node.a : node.b) = reference(k);
                hit = used[first_node + k];
            } else if (gene < 3 * nodes + constants) {
                const size_t k = gene - 3 * nodes;
                const int by = static_cast<int>(random_.below(2 * (1u << random_.below(12)) + 1));
                p.constants[k] = low16(random_.below(2) ? p.constants[k] + by : p.constants[k] - by);
                hit = used[inputs + k];
            } else {
                p.output = random_.below(8) ? static_cast<uint8_t>(first_node + random_.below(nodes)) : reference(nodes);
                hit = true;
            }
        }
    }

    std::vector<bool> active(const Program &p) const {
        const size_t first_node = inputs + p.constants.size();
        std::vector<bool> used(first_node + p.nodes.size(), false);
        used[p.output] = true;
        for (size_t k = p.nodes.size(); k-- > 0;)
            if (used[first_node + k]) {
                used[p.nodes[k].a] = true;
                if (!is_unary(p.nodes[k].operation)) used[p.nodes[k].b] = true;
            }
        return used;
    }

    // Weighted squared error of all but those with the largest.
    double evaluate(const Program &p) {
        const size_t n = weights_.size(), first_node = inputs + p.constants.size(), values = first_node + p.nodes.size();
        const std::vector<bool> used = active(p);
        memory_.resize(values * chunk);
        errors_.resize(n);
        const std::vector<int16_t> zeros(chunk, 0);
        std::vector<const int16_t *> value(values, zeros.data());
        for (size_t k = 0; k < p.constants.size(); ++k) {
            std::fill_n(&memory_[(inputs + k) * chunk], chunk, p.constants[k]);
            value[inputs + k] = &memory_[(inputs + k) * chunk];
        }
        for (size_t at = 0; at < n; at += chunk) {
            const size_t count = std::min(chunk, n - at);
            for (size_t k = 0; k < used_inputs; ++k) value[k] = places_[k].data() + at;
            for (size_t k = 0; k < p.nodes.size(); ++k) {
                if (!used[first_node + k]) continue;
                int16_t *const out = &memory_[(first_node + k) * chunk];
                apply(p.nodes[k].operation, value[p.nodes[k].a], value[p.nodes[k].b], out, count);
                value[first_node + k] = out;
            }
            const int16_t *const out = value[p.output];
            for (size_t i = 0; i < count; ++i) {
                const float v = static_cast<float>(std::clamp<int>(out[i], -limit_ - 1, limit_)) - weights_[at + i];
                errors_[at + i] = v * v * importance_[at + i];
            }
        }
        const size_t counted = n - left_out_;
        if (counted == 0) return 0;
        float threshold = std::numeric_limits<float>::infinity();
        if (left_out_ > 0) {
            sorted_ = errors_;
            std::nth_element(sorted_.begin(), sorted_.begin() + static_cast<std::ptrdiff_t>(counted), sorted_.end());
            threshold = sorted_[counted];
        }
        double sum = 0;
        size_t below = 0;
        for (float error : errors_)
            if (error < threshold) sum += static_cast<double>(error), ++below;
        return below < counted ? sum + static_cast<double>(counted - below) * static_cast<double>(threshold) : sum;
    }

    std::vector<float> weights_, importance_, errors_, sorted_;
    std::vector<int16_t> places_[used_inputs], memory_;
    std::vector<uint8_t> sources_;
    size_t left_out_;
    int limit_;
    Random random_;
    Program program_;
    double error_ = 0;
    uint64_t generations_ = 0;
};

}  // namespace

void bind_expression(nb::module_ &m) {
    nb::class_<Search>(m, "ExpressionSearch")
        .def(nb::init<In1<float>, std::optional<In1<float>>, std::optional<In1<uint8_t>>, size_t, In2<int16_t>, size_t, size_t,
                      bool, uint64_t>(),
             nb::arg("weights"), nb::arg("importance").none(), nb::arg("stored").none(), nb::arg("left_out"),
             nb::arg("places"), nb::arg("constants"), nb::arg("nodes"), nb::arg("wide"), nb::arg("seed"))
        .def("run", &Search::run, nb::arg("generations"))
        .def("best", &Search::best)
        .def("state", &Search::state)
        .def("resume", &Search::resume, nb::arg("state"))
        .def_prop_ro("error", &Search::error)
        .def_prop_ro("generations", &Search::generations);
}

}  // namespace neuralcodec
