"""Runs a plan's int8 arithmetic in numpy, written from TensorFlow Lite's specification and ncd_nn.h, slow and plain.

It shares no code with the exporter but the dataclasses of the plan.
"""

from __future__ import annotations

import numpy as np

from neuralcodec.firmware import plan as p

NEAREST = np.int64(1) << 30


def high_mul(a: np.ndarray, b: int) -> np.ndarray:
    """SaturatingRoundingDoublingHighMul of gemmlowp, as TensorFlow Lite's reference kernels use it."""
    product = a.astype(np.int64) * np.int64(b)
    nudge = np.where(product >= 0, NEAREST, 1 - NEAREST)
    total = product + nudge
    # C's division rounds toward zero.
    return np.where(total >= 0, total >> 31, -((-total) >> 31))


def rounding_shift(x: np.ndarray, exponent: int) -> np.ndarray:
    """RoundingDivideByPOT: to the nearest, ties away from zero."""
    if exponent == 0:
        return x
    mask = (1 << exponent) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)


def requantize(x: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """MultiplyByQuantizedMultiplier with two roundings; a shift to the left saturates."""
    left, right = max(shift, 0), max(-shift, 0)
    shifted = saturate(x.astype(np.int64) << left, 32)
    return rounding_shift(high_mul(shifted, multiplier), right)


def finish(x: np.ndarray, zero: int, low: float, high: float) -> np.ndarray:
    return np.clip(x + zero, low, high).astype(np.int8)


class Runner:
    """Runs a plan; keeps states from run to run."""

    def __init__(self, plan: p.Plan) -> None:
        self.plan = plan
        self.states = {s.name: np.zeros(plan.activations[s.activation].shape, np.int64) for s in plan.states}

    def run(self, values: np.ndarray) -> np.ndarray:
        """The output of one input, both int8 in the order of memory."""
        plan = self.plan
        held = {plan.input: values.reshape(plan.activations[plan.input].shape).astype(np.int64)}
        for step in plan.steps:
            out = self.layer(step, [held[name] for name in step.inputs], held)
            if out is not None:
                held[step.output] = np.asarray(out, np.int64).reshape(plan.activations[step.output].shape)
        for state in plan.states:
            self.states[state.name] = held[state.activation]
        return held[plan.output].astype(np.int8).reshape(-1)

    def layer(self, step: p.Step, inputs: list[np.ndarray], held: dict[str, np.ndarray]) -> np.ndarray | None:
        layer = step.layer
        match layer:
            case p.ConvLayer():
                return conv(layer, inputs[0])
            case p.LinearLayer():
                levels = layer.weights.tensor.levels.astype(np.int64)
                x = inputs[0].reshape(layer.batch, -1) - layer.arithmetic.in_zero
                return rows_out(x @ levels.T, layer.arithmetic)
            case p.AddLayer():
                return add(layer, *inputs)
            case p.MulLayer():
                x = inputs[0].reshape(layer.outer, layer.size, layer.inner) - layer.zeros[0]
                y = inputs[1].reshape(1, layer.size, 1) - layer.zeros[1]
                m = layer.multiplier
                return finish(requantize(x * y, m.multiplier, m.shift), layer.zeros[2], layer.low, layer.high)
            case p.TableLayer():
                return np.array(layer.table)[inputs[0] + 128]
            case p.PoolLayer():
                return pool(layer, inputs[0])
            case p.RescaleLayer():
                x = requantize(inputs[0] - layer.in_zero, layer.multiplier.multiplier, layer.multiplier.shift)
                return finish(x, layer.out_zero, layer.low, layer.high)
            case p.ConcatLayer():
                out = np.full(layer.size, 0 if layer.fill is None else layer.fill, np.int64)
                for part, x in zip(layer.parts, inputs, strict=True):
                    m = part.multiplier
                    y = finish(
                        requantize(x.reshape(-1) - part.in_zero, m.multiplier, m.shift), part.out_zero, -128, 127
                    )
                    for i in range(part.positions):
                        start = part.offset + i * part.stride
                        out[start : start + part.size] = y[i * part.size : (i + 1) * part.size]
                return out
            case p.FlattenLayer():
                return inputs[0].reshape(layer.positions, layer.channels).T
            case p.UpsampleLayer():
                x = inputs[0].reshape(layer.height, layer.width, layer.nbytes)
                down, right = layer.factors
                return np.kron(x, np.ones((down, right, 1), np.int64))
            case p.SoftmaxLayer():
                x = inputs[0].reshape(layer.count, layer.size)
                e = np.array(layer.table, np.int64)[x.max(1, keepdims=True) - x]
                total = e.sum(1, keepdims=True)
                return np.minimum((e * 256 + total // 2) // total, 255) - 128
            case p.LogSoftmaxLayer():
                x = inputs[0].reshape(layer.count, layer.size)
                below = x.max(1, keepdims=True) - x
                sums = np.array(layer.table, np.int64)[below].sum(1, keepdims=True)
                # Of 16 bits after the point; what squaring bit by bit rounds off may cost the last of them.
                logs = np.array([[log2_bits(int(total))] for total in sums[:, 0]], np.int64)
                return np.maximum(layer.out_zero - ((below * layer.step + logs * layer.log + (1 << 23)) >> 24), -128)
            case p.LoadLayer():
                return (
                    np.zeros(held_shape(self.plan, step), np.int64) if layer.state is None else self.states[layer.state]
                )
            case p.CellLayer():
                return cell(layer, inputs[0], step, held)


def log2_bits(total: int) -> int:
    """log2 of total / 2^24, 16 bits after the point: squared, a number of 1 to 2 is above 2 if the next bit is 1."""
    whole = total.bit_length() - 25
    m, found = total >> whole, whole
    for _ in range(16):
        m = m * m >> 24
        found = 2 * found + (m >> 25)
        m >>= m >> 25
    assert abs(found / 65536 - np.log2(total / 2**24)) < 2**-14
    return found


def held_shape(plan: p.Plan, step: p.Step) -> tuple[int, ...]:
    return plan.activations[step.output].shape


def rows_out(sums: np.ndarray, q: p.Requant) -> np.ndarray:
    """The last side of the sums is the rows."""
    bias = 0 if q.bias is None else q.bias.astype(np.int64)
    total = sums + bias
    out = np.empty(total.shape, np.int8)
    for row in range(total.shape[-1]):
        m = q.multipliers[row if len(q.multipliers) > 1 else 0]
        out[..., row] = finish(requantize(total[..., row], m.multiplier, m.shift), q.out_zero, q.low, q.high)
    return out


def patches(w: p.Window, x: np.ndarray, outside: int):
    """For each output position: where it is, its patch [kernel_h, kernel_w, in_c], and which of it lies inside."""
    for oy in range(w.out_h):
        for ox in range(w.out_w):
            patch = np.full((w.kernel_h, w.kernel_w, x.shape[2]), outside, np.int64)
            inside = np.zeros((w.kernel_h, w.kernel_w), bool)
            for ky in range(w.kernel_h):
                for kx in range(w.kernel_w):
                    iy = oy * w.stride_h - w.pad_top + ky * w.dilation_h
                    ix = ox * w.stride_w - w.pad_left + kx * w.dilation_w
                    if 0 <= iy < w.in_h and 0 <= ix < w.in_w:
                        patch[ky, kx] = x[iy, ix]
                        inside[ky, kx] = True
            yield oy, ox, patch, inside


def conv(layer: p.ConvLayer, x: np.ndarray) -> np.ndarray:
    w, q = layer.window, layer.arithmetic
    fan_in, per_group = w.in_c // w.groups, w.out_c // w.groups
    levels = layer.weights.tensor.levels.astype(np.int64).reshape(w.out_c, fan_in, w.kernel_h, w.kernel_w)
    sums = np.empty((w.out_h, w.out_w, w.out_c), np.int64)
    for oy, ox, patch, _ in patches(w, x.reshape(w.in_h, w.in_w, w.in_c) - q.in_zero, 0):
        for row in range(w.out_c):
            group = row // per_group
            part = patch[:, :, group * fan_in : (group + 1) * fan_in].transpose(2, 0, 1)
            sums[oy, ox, row] = (part * levels[row]).sum()
    return rows_out(sums, q)


def add(layer: p.AddLayer, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    (za, zb, zo), (ma, mb, mo) = layer.zeros, layer.multipliers
    x = requantize((a.reshape(-1) - za) << 20, ma.multiplier, ma.shift)
    y = requantize((b.reshape(-1) - zb) << 20, mb.multiplier, mb.shift)
    return finish(requantize(x + y, mo.multiplier, mo.shift), zo, layer.low, layer.high)


def pool(layer: p.PoolLayer, x: np.ndarray) -> np.ndarray:
    w = layer.window
    out = np.empty((w.out_h, w.out_w, w.in_c), np.int64)
    for oy, ox, patch, inside in patches(w, x.reshape(w.in_h, w.in_w, w.in_c), 0):
        if layer.kind == "max":
            out[oy, ox] = np.clip(patch[inside].max(0), layer.low, layer.high)
            continue
        count = inside.size if layer.count_outside else int(inside.sum())
        sums = (patch[inside] - layer.in_zero).sum(0)
        m = layer.multipliers[count - layer.least]
        out[oy, ox] = finish(requantize(sums, m.multiplier, m.shift), layer.out_zero, layer.low, layer.high)
    return out


def gate_sums(sums: p.GateSums, x: np.ndarray) -> np.ndarray:
    """Sums of a cell's matrix as int16 with 12 fractional bits less the headroom."""
    total = sums.weights.tensor.levels.astype(np.int64) @ x
    total = total + (0 if sums.bias is None else sums.bias.astype(np.int64))
    out = np.empty(len(total), np.int64)
    for row, value in enumerate(total):
        m = sums.multipliers[row if len(sums.multipliers) > 1 else 0]
        out[row] = requantize(np.array([value]), m.multiplier, m.shift)[0]
    return np.clip(out, -32768, 32767)


def table(function, inner: float) -> np.ndarray:
    """round(32768 * f(k / 32)), at most 32767; one more entry than intervals."""
    k = np.arange(257) / 32
    return np.minimum(np.floor(32768 * function(k * inner) + 0.5), 32767).astype(np.int64)


TANH = table(np.tanh, 1)
SIGMOID = table(lambda x: 1 / (1 + np.exp(-x)), 1)


def look_up(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    m = np.minimum(np.abs(x), 32767)
    a, b = values[m >> 7], values[(m >> 7) + 1]
    return a + (((b - a) * (m & 127) + 64) >> 7)


def tanh(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * look_up(TANH, x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, 32768 - look_up(SIGMOID, x), look_up(SIGMOID, x))


def down(x: np.ndarray, bits: int) -> np.ndarray:
    """Floor of x / 2^bits + 1/2."""
    return x if bits == 0 else (x + (1 << (bits - 1))) >> bits


def saturate(x: np.ndarray, bits: int) -> np.ndarray:
    return np.clip(x, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def gate(x: np.ndarray, layer: p.CellLayer) -> np.ndarray:
    """A sum of two parts with 12 fractional bits."""
    return saturate(saturate(x, 16) << layer.headroom, 16)


def cell(layer: p.CellLayer, x: np.ndarray, step: p.Step, held: dict[str, np.ndarray]) -> np.ndarray:
    h = held[step.output]
    into, back = gate_sums(layer.input, x.reshape(-1)), gate_sums(layer.recurrent, h)
    n = layer.hidden
    if layer.kind == "lstm":
        i, f, g, o = (gate(into[k * n : k * n + n] + back[k * n : k * n + n], layer) for k in range(4))
        c = held[step.cell_state]
        fraction = layer.cell_fraction
        c = saturate(down(sigmoid(f) * c, 15) + down(sigmoid(i) * tanh(g), 30 - fraction), 16)
        held[step.cell_state] = c
        inner = down(c, fraction - 12) if fraction >= 12 else saturate(c << (12 - fraction), 16)
        return saturate(down(sigmoid(o) * tanh(inner), 23), 8)
    r = sigmoid(gate(into[:n] + back[:n], layer))
    z = sigmoid(gate(into[n : 2 * n] + back[n : 2 * n], layer))
    new = tanh(gate(into[2 * n :] + down(r * back[2 * n :], 15), layer))
    return saturate(down((32768 - z) * new + z * 256 * h, 23), 8)
