"""The geometry of a convolution or a pool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """ncd_nn_window."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    groups: int = 1

    @property
    def pads(self) -> bool:
        """Whether some position of the kernel lies outside of the input."""
        reach_h = (self.out_h - 1) * self.stride_h - self.pad_top + self.dilation_h * (self.kernel_h - 1)
        reach_w = (self.out_w - 1) * self.stride_w - self.pad_left + self.dilation_w * (self.kernel_w - 1)
        return self.pad_top > 0 or self.pad_left > 0 or reach_h >= self.in_h or reach_w >= self.in_w

    @property
    def least_inside(self) -> int:
        """The fewest positions of the kernel that lie inside of the input."""

        def fewest(size: int, out: int, kernel: int, stride: int, before: int) -> int:
            starts = (i * stride - before for i in (0, out - 1))
            return min(min(start + kernel, size) - max(start, 0) for start in starts)

        return fewest(self.in_h, self.out_h, self.kernel_h, self.stride_h, self.pad_top) * fewest(
            self.in_w, self.out_w, self.kernel_w, self.stride_w, self.pad_left
        )
