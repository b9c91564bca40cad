"""What operators make of one window, and their derivatives by each element: lists of numbers in Python's arithmetic.

Part of the reference: shares no code with the package. Elements are in row-major order. A pair (value, slopes) is made
for each setting; sums are exactly rounded, infinities are taken as limits.
"""

import math

from reference import positional


def total(numbers):
    return math.fsum(numbers) if all(map(math.isfinite, numbers)) else sum(numbers)


def mean(numbers):
    if all(isinstance(e, int) for e in numbers):
        return sum(numbers) / len(numbers)
    return total(numbers) / len(numbers)


def in_order(elements, descending=False):
    """The places of the elements from the least to the greatest; of equal ones in row-major order."""
    sign = -1 if descending else 1
    return sorted(range(len(elements)), key=lambda i: (sign * elements[i], i))


def shares(elements, weights):
    """A list with these weights at places, 0 elsewhere."""
    return [weights.get(i, 0.0) for i in range(len(elements))]


# ---------------------------------------------------------------------------------------------------------------------
# Order


def quantile(q):
    def around(elements):
        order, position = in_order(elements), (len(elements) - 1) * q
        return order[math.floor(position)], order[math.ceil(position)], position - math.floor(position)

    def value(elements):
        low, high, t = around(elements)
        if elements[low] == elements[high]:
            return elements[low]
        return (1 - t) * elements[low] + t * elements[high]

    def slopes(elements):
        low, high, t = around(elements)
        if elements[low] == elements[high]:
            return shares(elements, {low: 1.0})
        return shares(elements, {low: 1 - t, high: t})

    return value, slopes


def rank(k):
    def place(elements):
        return in_order(elements)[k - 1 if k > 0 else k]

    return lambda elements: elements[place(elements)], lambda elements: shares(elements, {place(elements): 1.0})


def lower_median():
    def place(elements):
        return in_order(elements)[(len(elements) - 1) // 2]

    return lambda elements: elements[place(elements)], lambda elements: shares(elements, {place(elements): 1.0})


def sorted_slice(bounds):
    """The mean of the places first to stop − 1, which `bounds` gives for the number of elements."""

    def places(elements):
        return in_order(elements)[slice(*bounds(len(elements)))]

    def slopes(elements):
        return shares(elements, {i: 1 / len(places(elements)) for i in places(elements)})

    return lambda elements: mean([elements[i] for i in places(elements)]), slopes


def trimmed_mean(proportion):
    return sorted_slice(lambda n: (int(proportion * n), n - int(proportion * n)))


def topk_mean(k):
    return sorted_slice(lambda n: (max(0, n - k), n))


def ordered_weighted(logit):
    """With weights softmax(logit(r)) for the r-th in descending order, counted from 0."""

    def weights(elements):
        powers = [math.exp(logit(r)) for r in range(len(elements))]
        return dict(zip(in_order(elements, descending=True), (p / sum(powers) for p in powers), strict=True))

    def value(elements):
        return total([w * elements[i] for i, w in weights(elements).items()])

    return value, lambda elements: shares(elements, weights(elements))


# ---------------------------------------------------------------------------------------------------------------------
# Power


def power_mean(p):
    def value(elements):
        if any(e < 0 for e in elements):
            return math.nan
        if p == 0 and 0 in elements and math.inf in elements:
            return math.nan
        if p <= 0 and 0 in elements:
            return 0.0
        if p == 0:
            return math.exp(mean([math.log(e) for e in elements]))
        scale = max(elements) if p > 0 else min(elements)
        if scale == 0 or math.isinf(scale):
            return float(scale)
        return scale * mean([(e / scale) ** p for e in elements]) ** (1 / p)

    def slopes(elements):
        y = value(elements)
        return [(e / y) ** (p - 1) / len(elements) if e and y else 0.0 for e in elements]

    return value, slopes


def gem(p, eps):
    value, slopes = power_mean(p)

    def clamped(elements):
        return [max(e, eps) for e in elements]

    def clamped_slopes(elements):
        return [s if e > eps else 0.0 for e, s in zip(elements, slopes(clamped(elements)), strict=True)]

    return lambda elements: value(clamped(elements)), clamped_slopes


# ---------------------------------------------------------------------------------------------------------------------
# Soft


def limit(elements, r):
    """What infinities make of a mean with weights e^(r·x); None where nothing does."""
    infinite = [e for e in elements if math.isinf(e)]
    decisive = [e for e in infinite if r == 0 or e * r > 0]
    if decisive or len(infinite) == len(elements):
        return sum(decisive or infinite)
    return None


def weights_of(exponents):
    largest = max(exponents)
    powers = [math.exp(e - largest) for e in exponents]
    return [p / math.fsum(powers) for p in powers]


def log_sum_exp(r):
    def value(elements):
        decided = limit(elements, r)
        if decided is not None:
            return decided
        if r == 0:
            return mean(elements)
        largest = max(elements) if r > 0 else min(elements)
        exponents = [r * (e - largest) for e in elements]
        if min(exponents) > -1:
            return largest + math.log1p(mean([math.expm1(e) for e in exponents])) / r
        return largest + math.log(mean([math.exp(e) for e in exponents])) / r

    return value, lambda elements: weights_of([r * e for e in elements])


def soft(beta):
    def value(elements):
        decided = limit(elements, beta)
        if decided is not None:
            return decided
        finite = [e for e in elements if math.isfinite(e)]
        return total([w * e for w, e in zip(weights_of([beta * e for e in finite]), finite, strict=True)])

    def slopes(elements):
        y = value(elements)
        weights = weights_of([beta * e for e in elements])
        return [w * (1 + beta * (e - y)) for w, e in zip(weights, elements, strict=True)]

    return value, slopes


def straight_through(beta):
    return soft(beta)[0], lambda elements: weights_of([beta * e for e in elements])


def adapool(b):
    soft_value, soft_slopes = soft(1)

    def dice(x, m):
        scale = max(abs(x), abs(m))
        return 2 * abs(x / scale * (m / scale)) / ((x / scale) ** 2 + (m / scale) ** 2) if scale else 1.0

    def dice_slope(x, m):
        """By x."""
        sign = (x > 0) - (x < 0)
        return 2 * abs(m) * sign * (m * m - x * x) / (x * x + m * m) ** 2 if x or m else 0.0

    def value(elements):
        decided = limit(elements, 1)
        if decided is not None:
            return decided
        finite = [e for e in elements if math.isfinite(e)]
        middle = total(finite) / len(elements)
        weights = weights_of([dice(e, middle) for e in finite])
        return b * total([w * e for w, e in zip(weights, finite, strict=True)]) + (1 - b) * soft_value(elements)

    def slopes(elements):
        n, middle = len(elements), mean(elements)
        weights = weights_of([dice(e, middle) for e in elements])
        y = sum(w * e for w, e in zip(weights, elements, strict=True))
        pull = [w * (e - y) for w, e in zip(weights, elements, strict=True)]
        common = sum(a * dice_slope(middle, e) for a, e in zip(pull, elements, strict=True)) / n
        own = [w + a * dice_slope(e, middle) + common for w, a, e in zip(weights, pull, elements, strict=True)]
        return [b * s + (1 - b) * t for s, t in zip(own, soft_slopes(elements), strict=True)]

    return value, slopes


# ---------------------------------------------------------------------------------------------------------------------
# Extremes, mixtures and statistics


def first_greatest(elements):
    return elements.index(max(elements))


def first_least(elements):
    return elements.index(min(elements))


def mixed(a):
    def slopes(elements):
        even = [(1 - a) / len(elements)] * len(elements)
        even[first_greatest(elements)] += a
        return even

    return lambda elements: a * max(elements) + (1 - a) * mean(elements), slopes


def variance(ddof):
    def value(elements):
        free = len(elements) - ddof
        if free <= 0 or not all(map(math.isfinite, elements)):
            return math.nan
        middle = mean(elements)
        return math.fsum((e - middle) ** 2 for e in elements) / free

    def slopes(elements):
        free, middle = len(elements) - ddof, mean(elements)
        return [2 * (e - middle) / free if free > 0 else 0.0 for e in elements]

    return value, slopes


def std(ddof):
    squared, slopes_of_square = variance(ddof)

    def slopes(elements):
        y = math.sqrt(squared(elements))
        return [s / (2 * y) if y else 0.0 for s in slopes_of_square(elements)]

    return lambda elements: math.sqrt(squared(elements)), slopes


def spread():
    def slopes(elements):
        result = [0.0] * len(elements)
        result[first_greatest(elements)] += 1
        result[first_least(elements)] -= 1
        return result

    return lambda elements: max(elements) - min(elements), slopes


def mode():
    return lambda elements: min(elements, key=lambda e: (-elements.count(e), e)), None


def count():
    return len, None


def sum_of():
    return total, lambda elements: [1.0] * len(elements)


def lp(p):
    def value(elements):
        return total([abs(e) ** p for e in elements]) ** (1 / p)

    def slopes(elements):
        y = value(elements)
        return [math.copysign((abs(e) / y) ** (p - 1), e) if y and e else 0.0 for e in elements]

    return value, slopes


def dilation(h):
    return lambda elements: max(elements) + h, lambda elements: shares(elements, {first_greatest(elements): 1.0})


def erosion(h):
    return lambda elements: min(elements) - h, lambda elements: shares(elements, {first_least(elements): 1.0})


# ---------------------------------------------------------------------------------------------------------------------
# By place in the window


def blur():
    """Binomial weights of places in the window, over those of the elements there are."""

    def weights(places, sizes):
        found = [math.prod(math.comb(k - 1, j) for j, k in zip(place, sizes, strict=True)) for place in places]
        return [weight / sum(found) for weight in found]

    @positional
    def value(elements, places, sizes):
        return total([w * e for w, e in zip(weights(places, sizes), elements, strict=True)])

    @positional
    def slopes(elements, places, sizes):
        return weights(places, sizes)

    return value, slopes


def stochastic():
    """The mean with weights in proportion to the elements above 0."""

    def value(elements):
        above = [e for e in elements if e > 0]
        if math.inf in above:
            return math.inf
        return total([e * (e / max(above)) for e in above]) / total([e / max(above) for e in above]) if above else 0.0

    def slopes(elements):
        whole = total([e for e in elements if e > 0])
        return [(2 * e - value(elements)) / whole if e > 0 else 0.0 for e in elements]

    return value, slopes


# ---------------------------------------------------------------------------------------------------------------------
# Gates and detail


def gated(omega):
    def parts(elements):
        logit = omega * total(elements)
        small = math.exp(-abs(logit))
        return (small if logit < 0 else 1) / (1 + small), elements.index(max(elements)), mean(elements)

    def value(elements):
        a, place, average = parts(elements)
        return a * elements[place] + (1 - a) * average

    def slopes(elements):
        a, place, average = parts(elements)
        gate = (elements[place] - average) * a * (1 - a) * omega
        return [a * (i == place) + (1 - a) / len(elements) + gate for i in range(len(elements))]

    return value, slopes


def detail(lam, alpha):
    def value(elements):
        if not all(map(math.isfinite, elements)):
            return math.nan
        middle = mean(elements)
        unlike = [(e - middle) ** 2 + 1e-3 for e in elements]
        weights = [(d / mean(unlike)) ** math.exp(lam) + math.exp(alpha) for d in unlike]
        return total([w * e for w, e in zip(weights, elements, strict=True)]) / total(weights)

    return value, differences(value)


def differences(value, step=1e-5):
    """Slopes by central differences."""

    def slopes(elements):
        found = []
        for i in range(len(elements)):
            above, below = (value([*elements[:i], elements[i] + d, *elements[i + 1 :]]) for d in (step, -step))
            found.append((above - below) / (2 * step))
        return found

    return slopes


def average():
    return mean, lambda elements: [1 / len(elements)] * len(elements)
