// The encoder of codec trellis but for its search: counting, clustering of contexts, packing (docs/format.md, section 12).
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "trellis.hpp"

namespace neuralcodec {

namespace {

nb::object count(const Context &c, In2<int16_t> levels, size_t tile, const Coded &coded) {
    const size_t values = c.values(), cells = c.cells();
    Buffer<int64_t> out(c.quantizers * cells * values);
    std::fill(out.get(), out.get() + out.size, 0);
    bool good = true;
    {
        nb::gil_scoped_release release;
        for_each_coded_tile(levels.shape(0), levels.shape(1), tile, coded, [&](size_t at, size_t n) {
            good &= walk(c, levels.data() + at, n, [&](size_t, unsigned u, unsigned cell, int v) {
                ++out.get()[(u * cells + cell) * values + static_cast<size_t>(v + c.lo)];
            });
        });
    }
    if (!good) throw std::invalid_argument("levels: not a path of the trellis");
    int64_t *p = out.data.get();
    return nb::cast(nb::ndarray<nb::numpy, int64_t, nb::ndim<3>, nb::c_contig>(p, {c.quantizers, cells, values}, out.owner()));
}

// The table that each level has.
nb::object tables(const Context &c, In2<int16_t> levels, size_t tile, const Coded &coded) {
    Buffer<uint8_t> out(levels.size());
    bool good = true;
    {
        nb::gil_scoped_release release;
        for_each_coded_tile(levels.shape(0), levels.shape(1), tile, coded, [&](size_t at, size_t n) {
            good &= walk(c, levels.data() + at, n, [&](size_t i, unsigned u, unsigned cell, int) {
                out.get()[at + i] = c.map[u][cell];
            });
        });
    }
    if (!good) throw std::invalid_argument("levels: not a path of the trellis");
    return nb::cast(out.matrix(levels.shape(0), levels.shape(1)));
}

// Bits of all that open ends add.
uint64_t open_bits(const Context &c, In2<int16_t> levels, size_t tile, const Coded &coded) {
    if (!c.open) return 0;
    uint64_t bits = 0;
    nb::gil_scoped_release release;
    for_each_coded_tile(levels.shape(0), levels.shape(1), tile, coded, [&](size_t at, size_t n) {
        uint64_t of_tile = 0;
        bool escapes = false;
        for (size_t i = at; i < at + n; ++i) {
            if (!c.is_open(c.value_of(levels.data()[i]))) continue;
            const auto periods = static_cast<unsigned>(c.beyond(levels.data()[i]));
            escapes |= periods > 0;
            of_tile += 4 + c.length_of(periods);
        }
        if (escapes) bits += of_tile;
    });
    return bits;
}

// All tiles, one after the other, and the bytes of each tile. frequencies: shape [quantizers, tables, values].
nb::tuple pack(const Context &c, In2<int16_t> levels, size_t tile, In3<uint32_t> frequencies, unsigned m, const Coded &coded) {
    const size_t values = c.values(), tables = frequencies.shape(1);
    if (m < 8 || m > 12 || frequencies.shape(0) != c.quantizers || frequencies.shape(2) != values)
        throw std::invalid_argument("frequencies: shape [quantizers, tables, values] and m from 8 to 12 expected");
    std::vector<uint32_t> before(c.quantizers * tables * values);
    for (size_t t = 0; t < c.quantizers * tables; ++t) {
        uint32_t sum = 0;
        for (size_t i = 0; i < values; ++i) {
            before[t * values + i] = sum;
            sum += frequencies.data()[t * values + i];
        }
        if (sum != 0 && sum != 1u << m) throw std::invalid_argument("frequencies: a sum of 2^m expected");
    }
    for (unsigned u = 0; u < c.quantizers; ++u)
        for (uint8_t t : c.map[u])
            if (t >= tables) throw std::invalid_argument("frequencies: fewer tables than the map names");
    Bytes out;
    std::vector<uint32_t> sizes;
    bool good = true;
    {
        nb::gil_scoped_release release;
        struct Symbol {
            uint32_t frequency, before;
        };
        std::vector<Symbol> symbols;
        std::vector<uint16_t> words;  // from the last one on
        for_each_coded_tile(levels.shape(0), levels.shape(1), tile, coded, [&](size_t at, size_t n) {
            const int16_t *const level = levels.data() + at;
            symbols.resize(n);
            words.clear();
            bool escapes = false;
            good &= walk(c, level, n, [&](size_t i, unsigned u, unsigned cell, int v) {
                const size_t place = (u * tables + c.map[u][cell]) * values + static_cast<size_t>(v + c.lo);
                symbols[i] = Symbol{frequencies.data()[place], before[place]};
                good &= symbols[i].frequency != 0;
                const int out_by = c.beyond(level[i]);
                escapes |= out_by > 0;
                good &= out_by == 0 || (c.open && out_by <= 0xFFFE);
            });
            if (!good) return;
            uint32_t x = 0;
            const auto put = [&](uint32_t frequency, uint32_t start, unsigned bits) {
                // The decoder's state after this symbol must stay below 2^32 before it.
                if (static_cast<uint64_t>(x) >= static_cast<uint64_t>(frequency) << (32 - bits)) {
                    words.push_back(static_cast<uint16_t>(x));
                    x >>= 16;
                }
                x = (x / frequency << bits) + x % frequency + start;
            };
            if (escapes)
                for (size_t i = n; i-- > 0;) {
                    if (!c.is_open(c.value_of(level[i]))) continue;
                    const uint32_t t = static_cast<uint32_t>(c.beyond(level[i])) + 1;
                    const unsigned length = c.length_of(t - 1);
                    if (length) put(1, t - (1u << length), length);
                    put(1, length, 4);
                }
            for (size_t i = n; i-- > 0;) {
                if (c.raw_bits) {
                    const unsigned low = c.quantizers == 2 ? 2 : 0;
                    put(1, static_cast<uint32_t>(level[i]) >> low & ((1u << c.raw_bits) - 1), c.raw_bits);
                }
                put(symbols[i].frequency, symbols[i].before, m);
            }
            for (; x; x >>= 16) words.push_back(static_cast<uint16_t>(x));
            uint8_t *p = out.reserve(2 * words.size());
            for (size_t i = words.size(); i-- > 0;) {
                *p++ = static_cast<uint8_t>(words[i]);
                *p++ = static_cast<uint8_t>(words[i] >> 8);
            }
            out.advance(2 * words.size());
            sizes.push_back(static_cast<uint32_t>(2 * words.size()));
        });
    }
    if (!good) throw std::invalid_argument("levels: a symbol that its table does not have, or not a path of the trellis");
    Buffer<uint32_t> array(sizes.size());
    std::copy(sizes.begin(), sizes.end(), array.get());
    return nb::make_tuple(out.bytes(), array.array());
}

// The same with prefix codes. lengths: shape [quantizers, values], 0 for values without a code.
nb::tuple pack_codes(const Context &c, In2<int16_t> levels, size_t tile, In2<uint8_t> lengths, const Coded &coded) {
    constexpr unsigned longest = 8;
    const size_t values = c.values();
    if (lengths.shape(0) != c.quantizers || lengths.shape(1) != values || c.raw_bits || c.open)
        throw std::invalid_argument("lengths: shape [quantizers, values] and closed ends without raw bits expected");
    struct Code {
        uint8_t bits, length;  // first bit lowest
    };
    std::vector<Code> codes(c.quantizers * values);
    for (size_t u = 0; u < c.quantizers; ++u) {
        unsigned next = 0;
        for (unsigned length = 1; length <= longest; ++length) {
            for (size_t v = 0; v < values; ++v) {
                if (lengths(u, v) > longest) throw std::invalid_argument("lengths: at most 8 bits expected");
                if (lengths(u, v) != length) continue;
                unsigned bits = 0;
                for (unsigned i = 0; i < length; ++i) bits |= (next >> (longest - 1 - i) & 1) << i;
                codes[u * values + v] = Code{static_cast<uint8_t>(bits), static_cast<uint8_t>(length)};
                next += 1u << (longest - length);
            }
        }
        if (next != 1u << longest) throw std::invalid_argument("lengths: a complete code expected");
    }
    Bytes out;
    std::vector<uint32_t> sizes;
    bool good = true;
    {
        nb::gil_scoped_release release;
        for_each_coded_tile(levels.shape(0), levels.shape(1), tile, coded, [&](size_t at, size_t n) {
            uint8_t *const first = out.reserve(n + 1), *p = first;
            uint32_t window = 0;
            unsigned held = 0;
            good &= walk(c, levels.data() + at, n, [&](size_t i, unsigned u, unsigned, int v) {
                const Code code = codes[u * values + static_cast<size_t>(v + c.lo)];
                good &= code.length != 0 && c.beyond(levels.data()[at + i]) == 0;
                window |= static_cast<uint32_t>(code.bits) << held;
                held += code.length;
                for (; held >= 8; held -= 8, window >>= 8) *p++ = static_cast<uint8_t>(window);
            });
            if (held) *p++ = static_cast<uint8_t>(window);
            const auto size = static_cast<size_t>(p - first);
            out.advance(size);
            sizes.push_back(static_cast<uint32_t>(size));
        });
    }
    if (!good) throw std::invalid_argument("levels: a symbol without a code, or not a path of the trellis");
    Buffer<uint32_t> array(sizes.size());
    std::copy(sizes.begin(), sizes.end(), array.get());
    return nb::make_tuple(out.bytes(), array.array());
}

// n log2(n) of a whole number of at least 1. Most are small and come again and again.
double times_log2(double n) {
    static const std::vector<double> known = [] {
        std::vector<double> of(4096);
        for (size_t i = 1; i < of.size(); ++i) of[i] = static_cast<double>(i) * log2_alike(static_cast<double>(i));
        return of;
    }();
    return n < static_cast<double>(known.size()) ? known[static_cast<size_t>(n)] : n * log2_alike(n);
}

// A histogram, of cells that have a table together.
struct Group {
    std::vector<size_t> cells;
    std::vector<double> counts;
    std::vector<double> times_logs;  // of each count
    size_t first, end;               // outside there are no counts
    double total, total_times_log;
};

// Fills in all that follows from the counts.
void tally(Group *g) {
    g->times_logs.assign(g->counts.size(), 0);
    g->first = g->counts.size(), g->end = 0, g->total = 0;
    for (size_t v = 0; v < g->counts.size(); ++v) {
        if (!(g->counts[v] > 0)) continue;
        g->times_logs[v] = times_log2(g->counts[v]);
        g->total += g->counts[v];
        g->first = std::min(g->first, v), g->end = v + 1;
    }
    g->total_times_log = times_log2(g->total);
}

// Bits that two histograms take more with one table than with one each, the tables counted. Only values that both have
// make a difference to anything but the totals.
double growth(const Group &a, const Group &b, double fixed, double each) {
    double more = times_log2(a.total + b.total) - a.total_times_log - b.total_times_log - fixed;
    for (size_t v = std::max(a.first, b.first); v < std::min(a.end, b.end); ++v)
        if (a.counts[v] > 0 && b.counts[v] > 0)
            more -= times_log2(a.counts[v] + b.counts[v]) - a.times_logs[v] - b.times_logs[v] + each;
    return more;
}

// Greedy agglomeration: the two groups whose union costs least become one, while there are more than `most` or it pays.
Out1<uint8_t> cluster(In2<int64_t> counts, size_t most, double fixed, double each) {
    const size_t cells = counts.shape(0), values = counts.shape(1);
    if (!most || most > most_tables || cells > 256) throw std::invalid_argument("cluster: 1 to 64 tables, up to 256 cells expected");
    Buffer<uint8_t> out(cells);
    {
        nb::gil_scoped_release release;
        std::vector<Group> groups;
        std::vector<size_t> empty;
        for (size_t i = 0; i < cells; ++i) {
            Group g{{i}, std::vector<double>(values), {}, 0, 0, 0, 0};
            for (size_t v = 0; v < values; ++v) g.counts[v] = static_cast<double>(counts.data()[i * values + v]);
            tally(&g);
            if (g.end)
                groups.push_back(std::move(g));
            else
                empty.push_back(i);
        }
        std::vector<std::vector<double>> by(groups.size());
        for (size_t i = 0; i < groups.size(); ++i)
            for (size_t j = 0; j < i; ++j) by[i].push_back(growth(groups[i], groups[j], fixed, each));
        while (groups.size() > 1) {
            size_t a = 1, b = 0;
            for (size_t i = 1; i < groups.size(); ++i)
                for (size_t j = 0; j < i; ++j)
                    if (by[i][j] < by[a][b]) a = i, b = j;
            if (groups.size() <= most && by[a][b] >= 0) break;
            for (size_t v = 0; v < values; ++v) groups[b].counts[v] += groups[a].counts[v];
            groups[b].cells.insert(groups[b].cells.end(), groups[a].cells.begin(), groups[a].cells.end());
            tally(&groups[b]);
            groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(a));
            by.erase(by.begin() + static_cast<std::ptrdiff_t>(a));
            for (size_t i = a; i < by.size(); ++i) by[i].erase(by[i].begin() + static_cast<std::ptrdiff_t>(a));
            for (size_t i = 0; i < groups.size(); ++i)
                if (i != b) by[std::max(i, b)][std::min(i, b)] = growth(groups[i], groups[b], fixed, each);
        }
        // Tables in the order of their first cells. A cell that never occurs takes that of the cell before.
        std::sort(groups.begin(), groups.end(), [](const Group &a, const Group &b) {
            return *std::min_element(a.cells.begin(), a.cells.end()) < *std::min_element(b.cells.begin(), b.cells.end());
        });
        std::fill(out.get(), out.get() + cells, uint8_t{255});
        for (size_t g = 0; g < groups.size(); ++g)
            for (size_t i : groups[g].cells) out.get()[i] = static_cast<uint8_t>(g);
        for (size_t i : empty) out.get()[i] = i ? out.get()[i - 1] : 0;
    }
    return out.array();
}

}  // namespace

void bind_trellis(nb::module_ &m) {
    nb::class_<Context>(m, "TrellisContext")
        .def(nb::init<unsigned, int, int, unsigned, bool, unsigned, unsigned, const std::vector<unsigned> &,
                      const std::vector<unsigned> &, const std::vector<std::vector<unsigned>> &,
                      const std::vector<std::pair<std::vector<int>, std::vector<unsigned>>> &>(),
             nb::arg("states_log2"), nb::arg("lo"), nb::arg("hi"), nb::arg("raw_bits"), nb::arg("open"), nb::arg("cap"),
             nb::arg("start"), nb::arg("magnitudes"), nb::arg("signs"), nb::arg("maps"), nb::arg("automaton"))
        .def_prop_ro("cells", &Context::cells)
        .def_prop_ro("values", &Context::values);
    m.def("trellis_count", &count, nb::arg("context"), nb::arg("levels"), nb::arg("tile"), nb::arg("coded") = nb::none());
    m.def("trellis_tables", &tables, nb::arg("context"), nb::arg("levels"), nb::arg("tile"), nb::arg("coded") = nb::none());
    m.def("trellis_open_bits", &open_bits, nb::arg("context"), nb::arg("levels"), nb::arg("tile"),
          nb::arg("coded") = nb::none());
    m.def("trellis_pack", &pack, nb::arg("context"), nb::arg("levels"), nb::arg("tile"), nb::arg("frequencies"), nb::arg("m"),
          nb::arg("coded") = nb::none());
    m.def("trellis_pack_codes", &pack_codes, nb::arg("context"), nb::arg("levels"), nb::arg("tile"), nb::arg("lengths"),
          nb::arg("coded") = nb::none());
    m.def("trellis_cluster", &cluster, nb::arg("counts"), nb::arg("most"), nb::arg("fixed"), nb::arg("each"));
}

}  // namespace neuralcodec
