"""Golden vectors of codec trellis (docs/format.md, section 12), for make_vectors.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from stream_builder import Index, Model, Payload, Shared, Tensor
from trellis_builder import Rule, TrellisModel, trellis

CODEC = 4
CORRUPT, UNSUPPORTED, CHECKSUM = "CORRUPT", "UNSUPPORTED", "CHECKSUM"

Make = Callable[..., object]


def dice(seed: int) -> Callable[[int], int]:
    """Numbers that are the same on every machine."""
    state = seed

    def draw(below: int) -> int:
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % below

    return draw


def peaked(values: Sequence[int], total: int, width: int) -> dict[int, int]:
    """Frequencies that fall off from 0."""
    weights = {v: 1 + 1000 * width**2 // (width**2 + v * v) for v in values}
    table = {v: max(1, w * total // (2 * sum(weights.values()))) for v, w in weights.items()}
    middle = min(values, key=lambda v: (abs(v), v))
    table[middle] += total - sum(table.values())
    return table


def model_of(
    states: int,
    m: int = 10,
    lo: int = 4,
    hi: int = 4,
    tables: int = 1,
    **more: object,
) -> TrellisModel:
    """A model with tables of different widths."""
    every = range(-lo, hi + 1)
    quantizers = [list(every)] if states == 1 else [[v for v in every if v % 2 == u] for u in (0, 1)]
    return TrellisModel(
        states,
        lo,
        hi,
        [[peaked(values, 2**m, 1 + 2 * i) for i in range(tables)] for values in quantizers],
        m,
        **more,  # type: ignore[arg-type]
    )


def automaton_of(
    states: int, rules: Sequence[Rule], automaton_states: int = 0, lo: int = 6, hi: int = 6, **more: object
) -> TrellisModel:
    """A model whose tables an automaton with these rules picks; as many states as rules if not said otherwise."""
    return model_of(states, 8, lo, hi, tables=automaton_states or len(rules), automaton=rules, **more)


BY_SIZE: Rule = ((126, 128, 129, 131), (0, 1, 2, 3, 4))
"""A rule: values up to -3, to -1, 0, to 2, and above."""
THREE = automaton_of(8, (((126, 128, 129, 131), (2, 1, 0, 1, 2)), ((127, 130), (2, 0, 2)), ((129,), (0, 1))), start=1)
"""An automaton with a rule for each state: state 1 is never followed by itself, and state 2 never by itself."""
CODES = TrellisModel(8, 4, 4, [[{0: 1, -2: 2, 2: 3, 4: 4, -4: 4}], [{1: 1, -1: 2, 3: 3, -3: 3}]], 0)
EIGHT = model_of(8)
FAR = TrellisModel(8, 200, 200, [[{0: 512, 200: 512}], [{1: 512, 199: 512}]], raw_bits=9)
"""Levels of up to 17 bits."""


def tensor(payload: Payload | bytes, shape: Sequence[int], dtype: str = "f32", name: str = "w") -> Tensor:
    content = Payload(payload) if isinstance(payload, bytes) else payload
    return Tensor(name, shape, content, dtype, CODEC)


def cycle() -> int:
    """What open ends add, now and then."""
    return TURNS(9)


TURNS = dice(5)


def valid_trellis(valid: Make) -> Iterator[object]:
    """Everything that the section allows, once."""

    def one(
        name: str, description: str, shape: Sequence[int], model: TrellisModel | Payload | None, **more: object
    ) -> object:
        payload = model
        if not isinstance(payload, Payload):
            payload = trellis(shape, model, dice(len(name) + 7 * len(description)), **more)  # type: ignore[arg-type]
        return valid(f"trellis_{name}", description, Model([tensor(payload, shape, str(more.get("dtype", "f32")))]))

    for states in (1, 4, 8, 16, 32, 64, 128, 256):
        yield one(f"states_{states}", f"{states} states", (9, 40), model_of(states))
    for m in (8, 9, 11, 12):
        yield one(f"m_{m}", f"frequencies that add up to 2^{m}", (9, 20), model_of(8, m))
    for classes in (2, 5, 8):
        thresholds = tuple(range(3, 3 + 4 * classes, 4))[: classes - 1]
        model = model_of(4, tables=classes, magnitudes=thresholds, start=9)
        yield one(f"magnitudes_{classes}", f"{classes} magnitude classes", (8, 50), model)
    for signs in ((1,), (1, 3), (254, 255)):
        model = model_of(8, tables=3, signs=signs)
        yield one(f"signs_{'_'.join(map(str, signs))}", f"sign thresholds {signs}", (8, 50), model)
    both = {"magnitudes": (2, 5, 9, 14, 20, 30, 63), "signs": (1, 2)}
    yield one("cells", "40 cells, a table each", (20, 40), model_of(8, tables=40, **both))
    yield one("tables_64", "64 tables, of which 40 have a cell", (4, 40), model_of(16, tables=64, **both))
    uneven = replace(model_of(8, tables=3, signs=(1,)), maps=[[2, 0, 1], [1, 1, 2]])
    yield one("map", "a map that is not in order", (6, 30), uneven)
    lone = replace(
        EIGHT, tables=[EIGHT.tables[0], [EIGHT.tables[1][0], {1: 1024}]], maps=[[0, 0, 0], [0, 1, 0]], signs=(1,)
    )
    yield one("constant_table", "a table with one symbol", (6, 30), lone)
    narrow = replace(EIGHT, tables=[[{0: 1000, 2: 24}], [{-1: 512, 1: 500, 3: 12}]])
    yield one("symbols", "tables that begin after the first symbol and end before the last", (6, 30), narrow)
    yield one(
        "cap_127",
        "a cap of 127, values up to 127",
        (6, 40),
        model_of(8, lo=128, hi=127, m=12, cap=127, tables=2, magnitudes=(20,)),
    )
    yield one("cap_1", "a cap of 1", (6, 40), model_of(8, cap=1, tables=2, magnitudes=(30,), start=63))
    yield one("lo_0", "no negative values", (6, 20), model_of(8, lo=0, hi=6))
    yield one("hi_0", "no positive values", (6, 20), model_of(1, lo=6, hi=0))
    for columns, tile in ((7, 7), (20, 7), (5, 13), (3, 2)):
        yield one(f"tile_{columns}_{tile}", f"tiles of {tile}, rows of {columns}", (11, columns), EIGHT, tile=tile)
    yield one("one", "one weight", (), EIGHT)
    yield one("one_scalar", "one weight, N = 1", (1,), model_of(1))
    sure = TrellisModel(4, 2, 2, [[{0: 1024}], [{1: 1024}]])
    yield one("no_bytes", "constant tables: tiles of no bytes", (5, 6), sure, tile=6)
    yield one("zeros", "all levels are 0", (5, 6), None)
    yield one("zeros_wide", "all levels are 0, of 16 bits, with scales", (5, 6), None, wide=True, rows=[1, 2, 3, 4, 5])
    yield valid("trellis_empty", "no elements", Model([tensor(b"", (0, 4))]))
    for dtype in ("f32", "f16", "bf16", "f64"):
        yield one(f"dtype_{dtype}", f"dtype {dtype}", (5, 12), EIGHT, dtype=dtype, step=0.3)
        yield one(
            f"scales_{dtype}",
            f"scales of rows and columns, dtype {dtype}",
            (3, 5),
            EIGHT,
            dtype=dtype,
            step=0.7,
            rows=[0, 9, 200],
            columns=[3, 0, 255, 17, 8],
        )
    yield one("overflow_f16", "weights beyond what f16 holds", (4, 9), EIGHT, dtype="f16", step=40000.0)
    yield one(
        "overflow_f32", "weights beyond what f32 holds", (4, 9), EIGHT, step=3.0e38, columns=[9, 8, 7, 6, 5, 4, 3, 2, 1]
    )
    yield one("rows", "scales of rows", (4, 9), EIGHT, rows=[7, 0, 3, 1])
    yield one("columns", "scales of columns", (3, 4), EIGHT, columns=[7, 0, 3, 1])
    yield one("down", "down the columns", (7, 5), EIGHT, down=True)
    yield one("down_tiles", "down the columns, tiles of part of a column", (9, 5), EIGHT, down=True, tile=4)
    yield one(
        "down_scales",
        "down the columns, with scales of both",
        (4, 6),
        EIGHT,
        down=True,
        tile=9,
        rows=[1, 2, 3, 4],
        columns=[9, 0, 8, 0, 7, 0],
    )
    yield one("wide", "levels of 16 bits", (6, 20), model_of(8, lo=255, hi=255, m=12), wide=True)
    yield one(
        "wide_down",
        "levels of 16 bits down the columns",
        (6, 20),
        model_of(4, lo=200, hi=9),
        wide=True,
        down=True,
        tile=11,
    )
    for states in (1, 8):
        for bits in (1, 4, 12) if states == 8 else (1, 7):
            lo = 4 if bits == 12 else 60
            model = model_of(states, lo=lo - (lo == 4 and states == 8), hi=3 if bits == 12 else lo, m=11, raw_bits=bits)
            yield one(f"raw_{bits}_{states}", f"{bits} raw bits, {states} states", (8, 20), model, wide=True)
    for states, name in ((1, "scalar"), (8, "eight")):
        model = model_of(states, lo=8, hi=8, open_ends=True)
        draw = dice(states)
        yield one(f"open_{name}", "open ends that are not used", (9, 20), model)
        yield one(f"open_{name}_used", "open ends", (9, 20), model, more=lambda draw=draw: draw(6) * draw(5))
        yield one(
            f"open_{name}_wide",
            "open ends of 16 bits",
            (9, 20),
            model,
            wide=True,
            more=lambda draw=draw: draw(8000) // (1 + draw(900)),
        )
        raw = replace(model, raw_bits=3)
        yield one(
            f"open_{name}_raw", "open ends with raw bits", (9, 20), raw, wide=True, more=lambda draw=draw: draw(90)
        )
    yield from valid_skips(one)
    yield one("slots", "one table a quantizer, m = 8", (30, 40), model_of(32, 8, 6, 6))
    yield one("slots_scalar", "one table, m = 8, N = 1", (30, 40), model_of(1, 8, 6, 6))
    yield one(
        "slots_open",
        "the same with open ends",
        (10, 40),
        model_of(8, 8, 6, 6, open_ends=True),
        more=cycle,
    )
    yield one("slots_wide", "the same with levels of 16 bits", (10, 40), model_of(8, 8, 6, 6), wide=True)
    few = model_of(8, 8, 12, 12, tables=3, magnitudes=(6, 20), signs=(1, 5), cap=9, start=7)
    yield one("light", "tables picked by the levels before, m = 8", (12, 40), few)
    yield one("light_down", "the same down the columns", (40, 12), few, down=True, tile=101)
    open_few, chance = replace(few, open_ends=True), dice(3)
    yield one("light_open", "the same with open ends", (12, 40), open_few, more=lambda: chance(5) * chance(4))
    yield one("light_wide", "the same with levels of 16 bits", (12, 40), few, wide=True)
    yield one("light_open_wide", "both", (12, 40), open_few, wide=True, more=lambda: chance(900) // (1 + chance(40)))
    signs = model_of(1, 8, 15, 16, tables=8, magnitudes=(4, 8, 12, 16, 20, 24, 28))
    yield one("light_256", "m = 8, tables of 256 values in all, N = 1", (20, 40), signs)
    many = model_of(4, 8, 70, 57, tables=8, magnitudes=(4, 8, 12, 16, 20, 24, 28), cap=40)
    yield one("light_many", "m = 8, tables of more values", (20, 40), many)
    yield from valid_automata(one, valid)
    yield from valid_together(one)
    yield one("codes", "prefix codes", (9, 40), CODES)
    for count in (1, 2, 3, 5, 6, 7):
        yield one(f"codes_{count}", f"prefix codes of {count} levels", (count,), CODES)
    for states in (4, 16, 32, 256):
        yield one(
            f"codes_states_{states}", f"prefix codes, {states} states", (9, 40), replace(CODES, states=states), tile=77
        )
    long = {0: 1, -2: 2, 2: 3, -4: 4, 4: 5, -6: 6, 6: 7, -8: 8, 8: 8}
    deep = TrellisModel(8, 8, 8, [[long], [{v + 1: n for v, n in long.items() if v < 8} | {-7: 8}]], 0)
    deep.tables[1][0] = {1: 1, -1: 2, 3: 3, -3: 4, 5: 5, -5: 6, 7: 7, -7: 7}
    yield one("codes_long", "codes of 1 to 8 bits", (20, 40), deep)
    scalar = TrellisModel(1, 3, 4, [[{v: 3 for v in range(-3, 5)}]], 0)
    yield one("codes_scalar", "prefix codes, N = 1", (9, 11), scalar)
    full = TrellisModel(1, 128, 127, [[{v: 8 for v in range(-128, 128)}]], 0)
    yield one("codes_256", "256 codes of 8 bits", (9, 31), full)
    shared = [Shared(EIGHT.data(), 4), Shared(CODES.data(), 4)]
    yield valid(
        "trellis_shared",
        "tensors that share models",
        Model(
            [
                tensor(trellis((9, 4), EIGHT, dice(1), shared=0), (9, 4), name="a"),
                tensor(trellis((4, 4), CODES, dice(2), shared=1), (4, 4), name="b"),
                tensor(trellis((9, 4), EIGHT, dice(3), shared=0, wide=True), (9, 4), name="c"),
                tensor(trellis((3, 4), model_of(4), dice(4)), (3, 4), name="d"),
            ],
            shared,
        ),
    )


def valid_together(one: Make) -> Iterator[object]:
    """What the section allows, two and three at a time."""
    for states in (16, 32, 128):
        model = automaton_of(states, THREE.automaton or (), start=1)
        yield one(f"automaton_states_{states}", f"an automaton, the trellis of {states}", (6, 20), model, tile=40)
    for count in (2, 4, 6, 7):
        rule = ((124, 127, 128, 129, 130, 133), tuple((3 * i + 1) % count for i in range(7)))
        model = automaton_of(8, (rule,), count)
        yield one(f"automaton_rule_{count}", f"one rule for {count} states", (5, 20), model)
    some = [1, 0, 0, 1, 1, 0, 1]
    ends, turns = replace(THREE, open_ends=True), dice(6)
    far = {"more": lambda: turns(4) * turns(5)}
    yield one("automaton_columns", "an automaton, scales of columns", (3, 7), THREE, columns=[9, 0, 3, 1, 200, 7, 8])
    yield one("automaton_skip_down", "an automaton, columns left out", (9, 7), THREE, coded=some, down=True, tile=20)
    yield one("automaton_skip_open", "an automaton, open ends, rows left out", (7, 9), ends, coded=some, tile=20, **far)
    yield one("automaton_open_down", "an automaton, open ends, down the columns", (9, 7), ends, down=True, **far)
    yield one("codes_states_128", "prefix codes, 128 states", (5, 20), replace(CODES, states=128), tile=47)
    yield one("codes_down", "prefix codes down the columns", (9, 7), CODES, down=True, tile=20)
    yield one(
        "codes_scales",
        "prefix codes, scales of rows and columns",
        (3, 5),
        CODES,
        dtype="bf16",
        step=0.7,
        rows=[0, 9, 200],
        columns=[3, 0, 255, 17, 8],
    )
    for states in (64, 256):
        model = model_of(states, lo=10, hi=9, tables=3, signs=(1,), raw_bits=2, open_ends=True)
        yield one(f"open_raw_{states}", f"open ends and raw bits, {states} states", (5, 20), model, wide=True, **far)
    yield one("wide_scalar", "levels of 16 bits, N = 1", (4, 20), model_of(1, lo=110, hi=130, m=12), wide=True, tile=40)
    yield one("skip_pairs", "groups of 2 rows left out", (7, 6), EIGHT, coded=[0, 1, 0, 1], group_log2=1, tile=18)
    yield one("skip_pairs_down", "groups of 2 columns", (6, 7), EIGHT, coded=[1, 0, 0, 1], group_log2=1, down=True)
    for classes in (4, 6, 7):
        model = model_of(8, tables=classes, magnitudes=tuple(range(4, 4 + 5 * classes, 5))[: classes - 1])
        yield one(f"magnitudes_{classes}", f"{classes} magnitude classes", (3, 30), model)
    for bits in (6, 9, 11):
        yield one(f"raw_{bits}", f"{bits} raw bits", (3, 20), model_of(8, lo=4, hi=3, raw_bits=bits), wide=True)
    yield one("skip_8", "prefix codes, groups of 8 rows", (20, 3), CODES, coded=[0, 1, 1], group_log2=3, tile=12)
    yield one("skip_16", "an automaton, groups of 16 rows", (40, 3), THREE, coded=[1, 0, 1], group_log2=4, tile=12)
    yield one("lo_0_scalar", "no negative values, N = 1", (3, 20), model_of(1, lo=0, hi=6))
    yield one("wide_128", "levels of 16 bits, 128 states", (3, 20), model_of(128, lo=200, hi=200, m=12), wide=True)
    long = iter([32767, 255, 511, 1023, 2047, 4095, 9000, 16383, 20000, 0] * 9)
    below = TrellisModel(1, 1, 8, [[{-1: 128, 0: 128}]], 8, open_ends=True)
    yield one(
        "open_long_scalar", "open ends of up to 15 bits, N = 1", (2, 20), below, wide=True, more=lambda: next(long)
    )
    far_ends = iter([8191, 255, 511, 1023, 2047, 4095, 5000, 0] * 9)
    closed = TrellisModel(4, 4, 3, [[{-4: 512, 0: 512}], [{-3: 512, 3: 512}]], open_ends=True)
    yield one("open_long", "open ends of up to 13 bits, N = 4", (2, 20), closed, wide=True, more=lambda: next(far_ends))
    wave = dice(7)

    def outer(below: int) -> int:
        return wave(2) * (below - 1)

    flat = [[{v: 16 for v in range(-8, 8)}]]
    edge = TrellisModel(1, 8, 7, flat, 8, raw_bits=12)
    payload = trellis((3, 6), edge, outer, wide=True)
    yield one("ends_scalar", "levels of -32,768 and 32,767, N = 1", (3, 6), payload)
    parts = [[{v: 8 for v in range(-32, 32) if v % 2 == u}] for u in (0, 1)]
    payload = trellis((3, 10), TrellisModel(4, 32, 31, parts, 8, raw_bits=10), outer, wide=True)
    yield one("ends", "levels of -32,768 and 32,767, N = 4", (3, 10), payload)


def valid_automata(one: Make, valid: Make) -> Iterator[object]:
    """Models with an automaton."""
    yield one("automaton", "tables picked by an automaton of three states", (12, 40), THREE)
    yield one("automaton_rule", "one rule for five states", (12, 40), automaton_of(8, (BY_SIZE,), 5, start=2))
    yield one("automaton_1", "an automaton of one state", (12, 40), automaton_of(8, (((), (0,)),)))
    same = automaton_of(8, (((126, 131), (0, 0, 0)),))
    yield one("automaton_1_thresholds", "an automaton of one state, thresholds", (12, 40), same)
    two = automaton_of(256, (((128, 129), (1, 0, 1)), ((129,), (1, 0))))
    yield one("automaton_2", "an automaton of two states, the trellis of 256", (12, 40), two)
    ladder = [
        (
            tuple(108 + 3 * k + (2 + k % 3) * i for i in range(2 * k + 1)),
            tuple((5 * i + 3 * k + 1) % 8 for i in range(2 * k + 2)),
        )
        for k in range(8)
    ]
    eight = automaton_of(4, ladder, lo=20, hi=19, start=7)
    yield one("automaton_8", "an automaton of eight states, 1 to 15 thresholds", (20, 40), eight)
    wave = (tuple(range(121, 136)), tuple((5 * i + 3) % 8 for i in range(16)))
    widest = automaton_of(64, (wave,), 8, 20, 19, start=5)
    yield one("automaton_8_rule", "one rule of 15 thresholds for eight states", (20, 40), widest)
    full = tuple((tuple(range(121 + k, 136 + k)), tuple((i + k) % 3 for i in range(16))) for k in range(3))
    yield one("automaton_most", "three rules of 15 thresholds", (12, 40), automaton_of(8, full))
    turn = automaton_of(8, (((), (1,)), ((), (2,)), ((), (0,))), start=2)
    yield one("automaton_turn", "no thresholds: the states take turns", (12, 40), turn)
    away = automaton_of(8, (((), (1,)),), 3, start=2)
    yield one("automaton_away", "one rule without thresholds: a state but for the first weight", (12, 40), away)
    scalar = automaton_of(
        1,
        (((127, 129), (1, 0, 3)), ((124,), (2, 0)), ((), (3,)), ((122, 126, 128, 129, 131), (0, 3, 1, 2, 1, 0))),
        lo=9,
        hi=7,
        start=3,
    )
    yield one("automaton_scalar", "an automaton, N = 1", (12, 40), scalar)
    rules = (((0, 128, 255), (2, 4, 0, 3)), ((128,), (0, 4)), ((), (0,)), ((), (2,)), ((129,), (0, 4)))
    skip = automaton_of(8, rules, start=1)
    yield one(
        "automaton_skip", "an automaton, states that no value leads to, thresholds 0 and 255", (12, 40), skip, tile=40
    )
    for states in (1, 8):
        every = range(-128, 128)
        parts = [list(every)] if states == 1 else [[v for v in every if v % 2 == u] for u in (0, 1)]
        flat = [
            [{v: 2 if states > 1 else 1 for v in part}, {v: 64 for v in (*part[:2], *part[-2:])}, {part[0]: 256}]
            for part in parts
        ]
        for name, rules in (
            ("", [((0, 1, 128, 255), (2, 0, 1, 0, 1))]),
            ("_rules", [((0, 2, 254), (2, 0, 1, 2)), ((1, 128, 255), (1, 0, 1, 2)), ((255,), (0, 0))]),
        ):
            edge = TrellisModel(states, 128, 127, flat, 8, automaton=rules)
            yield one(
                f"automaton_256_{states}{name}",
                f"an automaton, values from -128 to 127, thresholds 0 and 255, {states} states, rules: {len(rules)}",
                (9, 40),
                edge,
            )
    narrow = replace(THREE, tables=[[{0: 200, 2: 56}, {4: 255, 6: 1}, {-6: 1, -4: 255}], THREE.tables[1]])
    yield one("automaton_symbols", "tables that begin after the first symbol or end before the last", (12, 40), narrow)
    lone = replace(
        THREE, tables=[[*THREE.tables[0][:2], {-4: 256}], [THREE.tables[1][0], {1: 256}, THREE.tables[1][2]]]
    )
    yield one("automaton_constant", "an automaton, tables with one symbol only among others", (12, 40), lone)
    sure = TrellisModel(
        8, 4, 4, [[{2: 256}, {0: 256}], [{3: 256}, {-1: 256}]], 8, automaton=(((128, 130), (0, 0, 1)), ((128,), (1, 0)))
    )
    yield one("automaton_no_bytes", "an automaton, tables with one symbol only", (12, 40), sure, tile=41)
    yield one("automaton_one", "an automaton, one weight", (), THREE)
    yield one(
        "automaton_lo_0",
        "an automaton, no negative values",
        (6, 20),
        automaton_of(8, (((129, 132), (0, 1, 2)),), 3, 0, 7),
    )
    yield one("automaton_tiles", "an automaton, tiles of part of a row", (11, 20), THREE, tile=7)
    yield one("automaton_down", "an automaton down the columns", (40, 12), THREE, down=True, tile=101)
    yield one(
        "automaton_scales",
        "an automaton, with scales",
        (4, 30),
        THREE,
        dtype="f16",
        step=0.3,
        rows=[7, 0, 3, 1],
        tile=64,
    )
    ends, chance = replace(THREE, open_ends=True), dice(4)
    yield one("automaton_open", "an automaton, open ends", (12, 40), ends, more=lambda: chance(5) * chance(4))
    yield one("automaton_open_unused", "an automaton, open ends that are not used", (12, 40), ends)
    yield one("automaton_wide", "an automaton, levels of 16 bits", (12, 40), THREE, wide=True)
    far = replace(scalar, open_ends=True)
    for name, model in (("wide", ends), ("scalar_wide", far)):
        yield one(
            f"automaton_open_{name}",
            "an automaton, open ends of 16 bits",
            (12, 40),
            model,
            wide=True,
            more=lambda: chance(900) // (1 + chance(40)),
        )
    yield valid(
        "trellis_automaton_shared",
        "tensors that share models with automata",
        Model(
            [
                tensor(trellis((9, 14), THREE, dice(1), shared=0), (9, 14), name="a"),
                tensor(trellis((4, 14), eight, dice(2), shared=1), (4, 14), name="b"),
                tensor(trellis((9, 14), THREE, dice(3), shared=0, wide=True), (9, 14), name="c"),
                tensor(trellis((9, 4), THREE, dice(4), shared=0, down=True, tile=9), (9, 4), name="d"),
                tensor(trellis((3, 14), model_of(4, 8), dice(5)), (3, 14), name="e"),
            ],
            [Shared(THREE.data(), 4), Shared(eight.data(), 4)],
        ),
    )


def valid_skips(one: Make) -> Iterator[object]:
    """Rows that are left out, by every kind of decoder."""
    some = [1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0]
    opened, turns = model_of(8, lo=6, hi=6, open_ends=True), dice(4)
    for name, model, more in (
        ("contexts", model_of(8, tables=3, signs=(1,)), {}),
        ("scalar", model_of(1), {}),
        ("open", opened, {"more": lambda: turns(4) * turns(5)}),
        ("light", THREE, {}),
        ("light_wide", THREE, {"wide": True}),
        ("slots", model_of(32, 8, 6, 6), {}),
        ("codes", CODES, {}),
        ("codes_wide", replace(CODES, states=64), {}),
        ("wide", model_of(8, lo=255, hi=255, m=12), {"wide": True}),
        ("raw", replace(FAR, raw_bits=3), {"wide": True}),
    ):
        yield one(f"skip_{name}", "rows left out", (16, 9), model, coded=some, tile=20, **more)
        yield one(f"skip_{name}_parts", "rows left out, tiles of parts", (16, 9), model, coded=some, tile=4, **more)
    yield one("skip_down", "columns left out", (9, 16), EIGHT, coded=some, down=True, tile=30, rows=[*range(9)])
    yield one("skip_first", "but the last row left out", (5, 9), EIGHT, coded=[0, 0, 0, 0, 1])
    yield one("skip_last", "but the first row left out", (5, 9), EIGHT, coded=[1, 0, 0, 0, 0])
    yield one("skip_none", "no row left out", (5, 9), EIGHT, coded=[1] * 5)
    yield one("skip_all", "all rows left out", (5, 9), EIGHT, coded=[0] * 5, tile=9)
    yield one("skip_groups", "groups of 4 rows left out", (15, 6), EIGHT, coded=[0, 1, 0, 1], group_log2=2, tile=12)
    yield one("skip_group", "one group of more rows than there are", (15, 6), EIGHT, coded=[1], group_log2=15, tile=12)
    yield one("skip_one", "one weight, left out", (), EIGHT, coded=[0])
    yield one(
        "skip_many", "rows of which most are left out", (300, 7), THREE, coded=[i % 5 == 2 for i in range(300)], tile=50
    )


def invalid_trellis(invalid: Make) -> Iterator[object]:
    """Each rule, broken."""

    def bad(name: str, description: str, error: str, data: Payload | bytes, *more: object, **options: object) -> object:
        shape = options.get("shape", (2, 3))
        model = Model([tensor(data, shape, str(options.get("dtype", "f32")))], options.get("shared", ()))  # type: ignore[arg-type]
        return invalid(f"trellis_{name}", description, error, model, *more)

    def made(model: TrellisModel | None, shape: Sequence[int] = (2, 3), **more: object) -> Payload:
        return trellis(shape, model, dice(3), **more)  # type: ignore[arg-type]

    def headed(model: TrellisModel = EIGHT, wide: bool = False, **change: int) -> Payload:
        return made(replace(model, change={int(at[1:]): byte for at, byte in change.items()}), wide=wide)

    good = made(EIGHT)
    yield bad("no_mode", "no payload", CORRUPT, b"")
    yield bad("mode_bit_7", "bit 7 of the mode", UNSUPPORTED, made(EIGHT, mode=128))
    yield bad("shared_zeros", "a shared model of zeros", UNSUPPORTED, made(None, mode=36))
    yield bad("skip_zeros", "rows left out of zeros", UNSUPPORTED, made(None, coded=[1, 0]))
    skip = made(EIGHT, coded=[1, 0])
    yield bad("skip_16", "groups of 2^16 rows", CORRUPT, made(EIGHT, coded=[1], group_log2=16))
    yield bad("skip_255", "groups of 2^255 rows", CORRUPT, made(EIGHT, coded=[1], group_log2=255))
    for size, where in ((7, "which rows are coded"), (8, "the model")):
        yield bad(f"skip_cut_{size}", f"the payload ends before {where}", CORRUPT, skip.data[:size])
    long = trellis((90, 2), EIGHT, dice(3), coded=[1] * 90).data[: 7 + 11]
    yield bad("skip_cut_long", "the payload ends in which rows are coded", CORRUPT, long, shape=(90, 2))
    for name, model in (("contexts", EIGHT), ("light", THREE), ("prefix", CODES), ("slots", model_of(32, 8, 6, 6))):
        one = {"shape": (4, 6), "tile": 6, "coded": [1, 0, 1, 1]}
        words = made(model, **one, edit=lambda tiles: [tiles[0], b"\1\0", *tiles[2:]])
        yield bad(f"skip_bytes_{name}", "a tile without coded rows that has bytes", CORRUPT, words, shape=(4, 6))
        short = made(model, **one, edit=lambda tiles: [tiles[0], tiles[1], b"", tiles[3]], end=3 if model.m else 0)
        yield bad(f"skip_short_{name}", "a coded row without bytes", CORRUPT, short, shape=(4, 6))
    empty = made(CODES, (4, 6), tile=6, coded=[1, 0, 1, 1], edit=lambda tiles: [tiles[0], b"\0", *tiles[2:]])
    yield bad("skip_byte", "a tile without coded rows, a byte of zeros", CORRUPT, empty, shape=(4, 6))
    yield bad("dtype", "levels for i16", CORRUPT, made(EIGHT, dtype="i16"), dtype="i16")
    yield bad("mode_before_dtype", "bit 7 of the mode, and u8", UNSUPPORTED, b"\x80", dtype="u8")
    yield bad("tile_0", "T = 0", CORRUPT, made(EIGHT, tile=0))
    yield bad("tile_65536", "T = 65,536", CORRUPT, made(EIGHT, tile=65536))
    for bits, what in ((0, "0"), (0x80000000, "-0"), (0xBF800000, "-1"), (0x7F800000, "infinity"), (0x7FC00000, "NaN")):
        yield bad(f"step_{bits:08x}", f"a step of {what}", CORRUPT, made(EIGHT, step_bits=bits))
    for byte, error in ((0, CORRUPT), (9, CORRUPT), (17, UNSUPPORTED)):
        for which, codes in (("rows", [0, 1]), ("columns", [0, 1, 1])):
            payload = made(EIGHT, scale_width_byte=byte, **{which: codes})
            yield bad(f"{which}_width_{byte}", f"scale codes of {which} of w = {byte}", error, payload)
    yield bad("zeros_tail", "a byte after zeros", CORRUPT, made(None, tail=b"\0"))
    for size, where in (
        (1, "T"),
        (3, "the step"),
        (8, "the model"),
        (13, "the thresholds"),
        (14, "the number of tables"),
    ):
        yield bad(f"cut_{size}", f"the payload ends in {where}", CORRUPT, good.data[:size])
    for size in (len(good.data) - len(good.data[6 + len(EIGHT.data()) :]) - 1, 6 + len(EIGHT.data()) - 6):
        yield bad(f"cut_{size}", "the payload ends in the tables", CORRUPT, good.data[:size])
    for log2, error in ((1, CORRUPT), (9, CORRUPT), (15, CORRUPT), (3 | 32, UNSUPPORTED), (3 | 128, UNSUPPORTED)):
        yield bad(f"states_{log2}", f"a byte of states {log2}", error, headed(_0=log2))
    for m in (1, 7, 13, 15):
        yield bad(f"m_{m}", f"m = {m}", CORRUPT, headed(_1=m))
    yield bad("raw_13", "13 raw bits", CORRUPT, headed(_1=10 | 13 << 4, wide=True))
    yield bad("raw_narrow", "raw bits in levels of 8 bits", CORRUPT, headed(_1=10 | 16))
    yield bad("lo_narrow", "lo = 129 in levels of 8 bits", CORRUPT, made(model_of(8, lo=129, hi=9, m=12)))
    yield bad("hi_narrow", "hi = 128 in levels of 8 bits", CORRUPT, made(model_of(8, lo=9, hi=128, m=12)))
    for cap in (0, 128, 255):
        yield bad(f"cap_{cap}", f"C = {cap}", CORRUPT, headed(_4=cap))
    for byte, error in ((24, CORRUPT), (64, UNSUPPORTED), (96, UNSUPPORTED), (128, UNSUPPORTED)):
        yield bad(f"classes_{byte}", f"a byte of classes {byte}", error, headed(_5=byte))
    yield bad("start_64", "a start of 64", CORRUPT, headed(_6=64))
    for thresholds in ((0,), (64,), (5, 5), (6, 5), (1, 2, 2, 9)):
        model = model_of(8, magnitudes=thresholds)
        yield bad(f"magnitudes_{'_'.join(map(str, thresholds))}", f"thresholds {thresholds}", CORRUPT, made(model))
    for thresholds in ((0,), (5, 5), (6, 5)):
        model = model_of(8, signs=thresholds)
        yield bad(f"signs_{'_'.join(map(str, thresholds))}", f"sign thresholds {thresholds}", CORRUPT, made(model))
    yield from invalid_automata(bad, made, headed)
    yield bad("open_small", "open ends of six values", CORRUPT, made(model_of(8, lo=3, hi=3, open_ends=True)))
    yield bad("open_scalar", "open ends of one value, N = 1", CORRUPT, made(model_of(1, lo=0, hi=0, open_ends=True)))
    empty = TrellisModel(8, 0, 0, [[{0: 1024}], [{0: 1024}]])
    yield bad("no_values", "a quantizer without values", CORRUPT, good.data[:6] + model_bytes(empty) + bytes(4))
    payload = good.data[:7] + model_bytes(empty)
    yield bad("model_no_values", "a quantizer without values that nothing leads to", CORRUPT, payload)
    many = model_of(8, tables=65)
    yield bad("tables_65", "65 tables", CORRUPT, made(many))
    past = replace(model_of(8, tables=3, signs=(1,)), maps=[[0, 1, 2], [0, 1, 2]])
    tail = replace(past, maps=[[0, 1, 3], [0, 1, 2]])
    yield bad("map_3", "a map to table 3 of three", CORRUPT, good.data[:6] + tail.data() + bytes(4))
    unreached = replace(past, signs=(255,), maps=[[0, 1, 3], [0, 1, 2]])
    yield bad("map_of_3", "a map to table 3 of three, where no value leads", CORRUPT, made(unreached))
    yield bad("map_padding", "unused bits of a map", CORRUPT, made(replace(past, map_padding=0x80)), "any")
    yield bad(
        "table_padding",
        "unused bits of a table",
        CORRUPT,
        made(replace(EIGHT, tables=UNUSED, table_padding=0x80)),
        "any",
    )
    yield bad("first_symbol", "symbols at and beyond the last", CORRUPT, made(replace(EIGHT, first_symbols=[1])))
    yield bad("first_symbol_255", "symbols from 255 on", CORRUPT, made(replace(EIGHT, first_symbols=[255])))
    for more in (-1, 1):
        table = dict(EIGHT.tables[0][0])
        table[0] += more
        wrong = replace(EIGHT, tables=[[table], EIGHT.tables[1]])
        payload = good.data[:6] + wrong.data() + bytes(4)
        yield bad(f"sum_{1024 + more}", f"frequencies that add up to {1024 + more}", CORRUPT, payload)
        description = f"a model whose frequencies add up to {1024 + more}"
        yield bad(f"model_sum_{1024 + more}", description, CORRUPT, made(wrong))
    yield bad("frequency_L", "L = m + 2", CORRUPT, made(replace(EIGHT, string="0011" + "0" * 60)))
    yield bad("odd", "an odd number of bytes", CORRUPT, good.data + b"\0")
    yield bad("left", "a word left", CORRUPT, good.data + b"\1\0")
    yield bad("short", "a word missing", CORRUPT, good.data[:-2])
    yield bad("end", "a state of 1 at the end", CORRUPT, made(EIGHT, end=1))
    yield bad("end_slots", "the same with one table and m = 8", CORRUPT, made(model_of(8, 8), end=1))
    yield bad("end_wide", "the same with levels of 16 bits", CORRUPT, made(EIGHT, end=1, wide=True))
    yield bad(
        "end_open",
        "a state of 2^16 behind open ends",
        CORRUPT,
        made(model_of(8, lo=8, hi=8, open_ends=True), end=1 << 24),
    )
    ends = model_of(1, lo=1, hi=1, open_ends=True)
    yield bad("open_level", "a level of 500 in 8 bits", CORRUPT, made(ends, (40,), more=lambda: 500), shape=(40,))
    yield bad(
        "open_level_wide",
        "a level of 33,000",
        CORRUPT,
        made(ends, (40,), more=lambda: 33_000, wide=True, edit=None),
        shape=(40,),
    )
    yield bad(
        "raw_level",
        "a level of 17 bits",
        CORRUPT,
        made(FAR, (40,), wide=True),
        shape=(40,),
    )
    yield bad(
        "index",
        "sizes of tiles that are more than the data",
        CORRUPT,
        made(EIGHT, (4, 3), tile=3, index=Index(fields=[0, 0, 0, 0], width=0, least=40)),
        shape=(4, 3),
    )
    yield bad("codes_wide", "prefix codes of 16 bits", CORRUPT, made(CODES, wide=True))
    yield bad("codes_raw", "prefix codes with raw bits", CORRUPT, headed(CODES, _1=16, wide=True))
    yield bad("codes_open", "prefix codes with open ends", CORRUPT, headed(CODES, _0=3 | 16))
    yield bad("codes_magnitudes", "prefix codes with magnitude classes", CORRUPT, made(replace(CODES, magnitudes=(4,))))
    yield bad("codes_signs", "prefix codes with sign classes", CORRUPT, made(replace(CODES, signs=(4,))))
    two = replace(CODES, tables=[[CODES.tables[0][0]] * 2, CODES.tables[1]])
    yield bad("codes_tables", "prefix codes with two tables", CORRUPT, made(two))
    coded = made(CODES, (3, 9))
    for name, table in (
        ("incomplete", {0: 1, -2: 2, 2: 3}),
        ("over", {0: 1, -2: 2, 2: 3, 4: 3, -4: 3}),
        ("one", {0: 1}),
        ("nine", {0: 1, -2: 2, 2: 3, 4: 4, -4: 9}),
        ("fifteen", {0: 1, -2: 2, 2: 3, 4: 4, -4: 15}),
    ):
        wrong = replace(CODES, tables=[[table], CODES.tables[1]])
        yield bad(f"codes_{name}", f"lengths of codes {table}", CORRUPT, good.data[:6] + wrong.data() + bytes(4))
        payload = coded.data[:7] + wrong.data() + coded.data[7 + len(CODES.data()) :]
        yield bad(f"lengths_{name}", f"a model with lengths of codes {table}", CORRUPT, payload, shape=(3, 9))
    yield bad("codes_short", "codes run past the end", CORRUPT, coded.data[:-1], shape=(3, 9))
    yield bad("codes_left", "a byte left", CORRUPT, coded.data + b"\0", shape=(3, 9))
    padded = coded.data[:-1] + bytes([coded.data[-1] | 0x80])
    yield bad("codes_padding", "a bit after the last code", CORRUPT, padded, shape=(3, 9))
    shared = made(EIGHT, shared=0)
    yield bad("shared_none", "a shared model that is not there", CORRUPT, shared)
    yield bad(
        "shared_kind", "another object where a model is wanted", CORRUPT, shared, shared=[Shared(EIGHT.data(), 3)]
    )
    yield bad("shared_tail", "a byte after a shared model", CORRUPT, shared, shared=[Shared(EIGHT.data() + b"\0", 4)])
    yield bad("shared_cut", "a shared model that ends early", CORRUPT, shared, shared=[Shared(EIGHT.data()[:-1], 4)])
    yield bad("shared_crc", "a damaged shared model", CHECKSUM, shared, shared=[Shared(EIGHT.data(), 4, crc=1)])


def invalid_automata(bad: Make, made: Make, headed: Make) -> Iterator[object]:
    """Rules of models with an automaton."""
    for byte in (40, 48, 56):
        signs = byte >> 3 & 3
        yield bad(f"automaton_signs_{signs}", f"an automaton with P = {signs}", CORRUPT, headed(THREE, _5=byte | 2))
    for bit in (6, 7):
        changed = headed(THREE, _5=2 | 32 | 1 << bit)
        yield bad(f"automaton_bit_{bit}", f"an automaton, bit {bit} of its byte", UNSUPPORTED, changed)
    every = headed(THREE, _1=0, _2=129, _4=2, _5=56 | 128, _6=64)
    yield bad("automaton_bit_first", "the reserved bit, and what an automaton does not allow", UNSUPPORTED, every)
    early = headed(THREE, _4=0, _5=2 | 32 | 64)
    yield bad("automaton_bit_behind", "the reserved bit, and C = 0", CORRUPT, early)
    yield bad("automaton_cap_2", "an automaton with C = 2", CORRUPT, headed(THREE, _4=2))
    for m in (9, 12):
        finer = replace(model_of(8, m, 6, 6, tables=3), automaton=THREE.automaton)
        yield bad(f"automaton_m_{m}", f"an automaton with m = {m}", CORRUPT, made(finer))
    yield bad(
        "automaton_codes", "an automaton with prefix codes", CORRUPT, made(replace(CODES, automaton=(((), (0,)),)))
    )
    yield bad("automaton_raw", "an automaton with raw bits", CORRUPT, made(replace(THREE, raw_bits=1), wide=True))
    for lo, hi, which in ((129, 6, "lo"), (6, 128, "hi")):
        model = automaton_of(1, (((130,), (0, 1)),), 2, lo, hi)
        yield bad(f"automaton_{which}", f"an automaton, values from {-lo} to {hi}", CORRUPT, made(model, wide=True))
    for start in (3, 63):
        yield bad(f"automaton_start_{start}", f"three states, a start of {start}", CORRUPT, headed(THREE, _6=start))
    alone = automaton_of(8, (((), (0,)),))
    yield bad("automaton_start_1", "one state, a start of 1", CORRUPT, headed(alone, _6=1))
    first, middle, last = THREE.automaton or ()
    # What breaks a rule is where no value leads, so that nothing else finds it
    for name, description, rules, more in (
        ("rules_2", "two rules for three states", (((126, 131), (0, 1, 0)), ((), (0,))), 3),
        ("rules_4", "four rules for three states", (first, middle, last, ((), (0,))), 3),
        ("rules_1_2", "two rules for one state", (((), (0,)),) * 2, 1),
        ("rules_256", "256 rules for one state", (((), (0,)),) * 256, 1),
        ("n_16", "16 thresholds in the first rule", ((range(16), [0] * 17), middle, last), 3),
        ("n_16_last", "16 thresholds in the last rule", (first, middle, (range(120, 136), [2, 0] * 8 + [1])), 3),
        ("n_16_rule", "16 thresholds in one rule", ((range(120, 136), [2, 0] * 8 + [1]),), 3),
        ("first_equal", "equal thresholds", (((126, 128, 128, 131), (2, 1, 0, 1, 2)), middle, last), 3),
        ("first_descends", "thresholds that descend", (((126, 128, 127, 131), (2, 1, 0, 1, 2)), middle, last), 3),
        ("last_equal", "equal thresholds in the last rule", (first, middle, ((255, 255), (0, 1, 1))), 3),
        ("last_descends", "thresholds that descend in the last rule", (first, middle, ((129, 128), (0, 1, 1))), 3),
        ("first_next", "next state 3 of three, in the first rule", (((0, 128), (3, 1, 2)), middle, last), 3),
        ("last_next", "next state 3 of three, in the last rule", (first, middle, ((129, 255), (0, 1, 3))), 3),
        ("next_rule", "next state 5 of five, in one rule", (((*BY_SIZE[0], 255), (*BY_SIZE[1], 5)),), 5),
        ("next_255", "next state 255", (first, ((0, 128), (255, 0, 2)), last), 3),
        ("next_1", "next state 1 of one", (((0,), (1, 0)),), 1),
    ):
        broken = made(automaton_of(8, rules, more), (9, 40))
        yield bad(f"automaton_{name}", f"an automaton, {description}", CORRUPT, broken, shape=(9, 40))
    good = made(THREE, (9, 40))
    before, at = good.data[:7], 7 + 7  # mode, T of two bytes, step; head of the model
    rest = at + 1 + sum(2 + 2 * len(thresholds) for thresholds, _ in (first, middle, last))
    for size, where in (
        (at, "before the rules"),
        (at + 1, "before the first rule"),
        (at + 4, "in thresholds"),
        (at + 6, "before next states"),
        (at + 9, "in next states"),
        (at + 11, "before the second rule"),
        (rest - 1, "in the last next states"),
        (rest, "before the tables"),
    ):
        cut = good.data[:size]
        yield bad(f"automaton_cut_{size}", f"an automaton, the payload ends {where}", CORRUPT, cut, shape=(9, 40))
    size = 7 + len(THREE.data())
    yield bad("automaton_cut_table", "an automaton, the last table lacks a byte", CORRUPT, good.data[: size - 1])
    lost = replace(THREE, tables=[THREE.tables[0], THREE.tables[1][:2]])
    yield bad("automaton_tables", "three states, two tables", CORRUPT, before + lost.data(), shape=(9, 40))
    mapped = bytes([2, 0b100100])
    old = good.data[:rest] + mapped * 2 + good.data[rest:]
    yield bad("automaton_maps", "an automaton with maps", CORRUPT, old, shape=(9, 40))
    for more in (-1, 1):
        table = dict(THREE.tables[1][2])
        table[1] += more
        wrong = replace(THREE, tables=[THREE.tables[0], [*THREE.tables[1][:2], table]])
        payload = before + wrong.data() + good.data[size:]
        yield bad(
            f"automaton_sum_{256 + more}", f"frequencies that add up to {256 + more}", CORRUPT, payload, shape=(9, 40)
        )
    past = made(replace(THREE, first_symbols=[1]))
    yield bad("automaton_first_symbol", "an automaton, symbols beyond the last", CORRUPT, past)
    payload = before + bytes([3, 8, 0, 0, 1, 32, 0]) + bytes(3) + bytes([0, 0, 9, 0]) * 2
    yield bad("automaton_no_values", "an automaton, a quantizer without values", CORRUPT, payload)
    yield bad("automaton_odd", "an automaton, an odd number of bytes", CORRUPT, good.data + b"\0", shape=(9, 40))
    yield bad("automaton_left", "an automaton, a word left", CORRUPT, good.data + b"\1\0", shape=(9, 40))
    yield bad("automaton_short", "an automaton, a word missing", CORRUPT, good.data[:-2], shape=(9, 40))
    for wide in (False, True):
        name = "automaton_end" + "_wide" * wide
        yield bad(
            name,
            "an automaton, a state of 1 at the end",
            CORRUPT,
            made(THREE, (9, 40), end=1, wide=wide),
            shape=(9, 40),
        )
    ends = automaton_of(1, (((128, 129), (1, 0, 1)),), 2, 1, 1, open_ends=True)
    wrong = made(ends, (40,), more=lambda: 500)
    yield bad("automaton_open_level", "an automaton, a level of 500 in 8 bits", CORRUPT, wrong, shape=(40,))
    wrong = made(ends, (40,), more=lambda: 33_000, wide=True)
    yield bad("automaton_open_level_wide", "an automaton, a level of 33,000", CORRUPT, wrong, shape=(40,))
    small = automaton_of(8, (((128, 129), (1, 0, 1)),), 2, 3, 3, open_ends=True)
    yield bad("automaton_open_small", "an automaton, open ends of six values", CORRUPT, made(small))
    tail = [Shared(THREE.data() + b"\0", 4)]
    yield bad("automaton_shared_tail", "a byte after a shared model", CORRUPT, made(THREE, shared=0), shared=tail)


UNUSED = [[{0: 1000, 2: 24}], [{-1: 512, 1: 500, 3: 12}]]
"""Tables whose strings end within a byte."""


def model_bytes(model: TrellisModel) -> bytes:
    """As written, though it has a quantizer without values."""
    head = bytes([3, 10, 0, 0, 4, 0, 0])
    table = bytes([0, 0, 11, 0])
    return head + bytes([0, 0]) + table * len(model.tables)
