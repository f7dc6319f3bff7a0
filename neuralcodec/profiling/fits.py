"""Gaussian, Laplacian, generalized Gaussian and Student-t fitted to weights by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

SHAPES = (0.2, 20.0)
"""Exponents of the generalized Gaussian that are looked at."""

FREEDOM = (0.5, 200.0)
"""Degrees of freedom of Student's t that are looked at; with 200 it is a Gaussian for all that weights can tell."""

RANKS = 8192
"""The Kolmogorov-Smirnov distance is taken at so many ranks, which is as near as a distance matters."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """A distribution fitted to weights.

    Attributes:
        family: "gaussian", "laplacian", "generalized gaussian" or "student-t".
        location: centre.
        scale: σ of the Gaussian; α of exp(−(|x − location| / α)^β) for Laplacian (β = 1) and generalized Gaussian;
            the unit of t for Student's.
        shape: β of the generalized Gaussian (2: Gaussian, 1: Laplacian), degrees of freedom of Student's t; None for
            the others. At an end of :data:`SHAPES` or :data:`FREEDOM` the best may lie beyond.
        log_likelihood: mean log density of a weight, in nats.
        bits: the same as −log2, of weights in units of their standard deviation: what a weight costs an ideal coder
            with this model, but for the log2 of standard deviation over step. A Gaussian has 2.05.
        ks: Kolmogorov-Smirnov distance, the largest between the two distribution functions.
    """

    family: str
    location: float
    scale: float
    shape: float | None
    log_likelihood: float
    bits: float
    ks: float

    def density(self, x: Floats) -> Floats:
        """The density at points of any shape."""
        return np.exp(self.log_density(x))

    def log_density(self, x: Floats) -> Floats:
        """Its logarithm, in nats."""
        z = np.abs(x - self.location) / self.scale
        if self.family == "student-t":
            assert self.shape is not None
            return _t_constant(self.shape) - math.log(self.scale) - (self.shape + 1) / 2 * np.log1p(z * z / self.shape)
        beta, unit = self._exponent()
        return math.log(beta / (2 * unit * self.scale)) - math.lgamma(1 / beta) - (z / unit) ** beta

    def distribution(self, x: Floats) -> Floats:
        """The probability of a weight below each of the points."""
        z = (x - self.location) / self.scale
        if self.family == "student-t":
            below: Floats = special.stdtr(self.shape, z)
            return below
        beta, unit = self._exponent()
        within: Floats = special.gammainc(1 / beta, (np.abs(z) / unit) ** beta)
        return 0.5 + 0.5 * np.sign(z) * within

    def _exponent(self) -> tuple[float, float]:
        """β, and α in units of the scale: three of the families are one."""
        if self.family == "gaussian":
            return 2.0, math.sqrt(2)
        return (1.0 if self.shape is None else self.shape), 1.0


def fit_all(weights: Floats) -> tuple[Fit, ...]:
    """The four families, in the order of the first line of this module.

    Args:
        weights: shape [n], finite, not all equal.
    """
    mean, std = float(weights.mean()), float(weights.std())
    ordered = np.sort((weights - mean) / std)
    median = float(np.median(ordered))
    thin = np.unique(np.round(np.linspace(0, ordered.size - 1, RANKS)).astype(np.int64))
    deviation = float(np.abs(ordered - median).mean())
    found = (
        ("gaussian", 0.0, 1.0, None),
        ("laplacian", median, deviation, None),
        ("generalized gaussian", *_fit_generalized(ordered, median)),
        ("student-t", *_fit_t(ordered, median)),
    )
    fits = []
    for family, location, scale, shape in found:
        standard = Fit(family, location, scale, shape, 0.0, 0.0, 0.0)
        likelihood = float(standard.log_density(ordered).mean())
        distance = _distance(standard.distribution(ordered[thin]), thin, ordered.size)
        fits.append(
            Fit(
                family,
                location=mean + std * location,
                scale=std * scale,
                shape=shape,
                log_likelihood=likelihood - math.log(std),
                bits=-likelihood / math.log(2),
                ks=distance,
            )
        )
    return tuple(fits)


def best(fits: tuple[Fit, ...], count: int) -> Fit:
    """The likeliest; a shape must earn the ½·log2 n bits that describe it.

    Rissanen, "Modeling by shortest data description", Automatica, 1978.

    Args:
        fits: to choose from.
        count: weights n that they were fitted to.
    """
    price = 0.5 * math.log2(count) / count
    return min(fits, key=lambda fit: fit.bits + (price if fit.shape is not None else 0.0))


def _distance(expected: Floats, ranks: npt.NDArray[np.int64], count: int) -> float:
    """The largest distance between a distribution function at ordered weights and the steps of the empirical one."""
    return float(np.maximum((ranks + 1) / count - expected, expected - ranks / count).max())


def _fit_generalized(x: Floats, median: float) -> tuple[float, float, float]:
    """Location, scale and β.

    Of a given β the best scale is known (Nadarajah, "A generalized normal distribution", Journal of Applied Statistics,
    2005), so that only β is searched. The location is the mean, which is 0, or the median.
    """
    found = []
    for location in (0.0, median):
        with np.errstate(divide="ignore"):
            logs = np.log(np.abs(x - location))  # −inf at the location itself: 0 to any power

        def power(beta: float, logs: Floats = logs) -> float:
            return float(np.exp(beta * logs).mean())

        def cost(log_beta: float, power: Callable[[float], float] = power) -> float:
            beta = math.exp(log_beta)
            return (math.log(beta * power(beta)) + 1) / beta - math.log(beta / 2) + math.lgamma(1 / beta)

        result = optimize.minimize_scalar(
            cost, bounds=tuple(math.log(s) for s in SHAPES), method="bounded", options={"xatol": 1e-3}
        )
        beta = math.exp(float(result.x))
        found.append((float(result.fun), location, (beta * power(beta)) ** (1 / beta), beta))
    return min(found)[1:]


def _fit_t(x: Floats, median: float) -> tuple[float, float, float]:
    """Location, scale and degrees of freedom, together; the gradient is known.

    All in units of the median distance from the median: the tails decide the standard deviation, but not the scale.
    """
    unit = float(np.median(np.abs(x - median))) or 1.0
    x = (x - median) / unit

    def cost(parameters: Floats) -> tuple[float, Floats]:
        location, scale, freedom = float(parameters[0]), math.exp(parameters[1]), math.exp(parameters[2])
        off = x - location
        part = off * off / (freedom * scale**2)
        a, b = float(np.log1p(part).mean()), float((part / (1 + part)).mean())
        value = _t_constant(freedom) - math.log(scale) - (freedom + 1) / 2 * a
        by_location = (freedom + 1) * float((off / (1 + part)).mean()) / (freedom * scale**2)
        by_scale = (freedom + 1) * b - 1
        by_freedom = (
            0.5 * float(special.digamma((freedom + 1) / 2) - special.digamma(freedom / 2))
            - (1 - (freedom + 1) * b) / (2 * freedom)
            - a / 2
        )
        return -value, -np.array([by_location, by_scale, by_freedom * freedom])

    # If many weights are equal the likeliest scale would be 0.
    bounds = [(-10.0, 10.0), (math.log(1e-3), math.log(1e3)), tuple(math.log(f) for f in FREEDOM)]
    result = optimize.minimize(
        cost, np.array([0.0, math.log(1.4), math.log(4.0)]), jac=True, method="L-BFGS-B", bounds=bounds
    )
    location, log_scale, log_freedom = (float(v) for v in result.x)
    return median + unit * location, unit * math.exp(log_scale), math.exp(log_freedom)


def _t_constant(freedom: float) -> float:
    return math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
