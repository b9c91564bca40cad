"""Regions and descriptors again, as loops over scalars in float64; shares no code with the package.

Maps are (N, C, H, W); tokens are (elements, channels).
"""

import math

import numpy as np


def spatial_pyramid(x, levels, reduction):
    """(N, C, Σ level²), by the greatest or the mean of [⌊i·n/m⌋, ⌈(i+1)·n/m⌉)."""
    maps, channels, height, width = x.shape
    out = np.zeros((maps, channels, sum(m * m for m in levels)))
    for n in range(maps):
        for c in range(channels):
            values = []
            for m in levels:
                for i in range(m):
                    for j in range(m):
                        rows = range(i * height // m, -(-(i + 1) * height // m))
                        columns = range(j * width // m, -(-(j + 1) * width // m))
                        values.append(reduction([float(x[n, c, r, k]) for r in rows for k in columns]))
            out[n, c] = values
    return out


def interpolated(plane, height, width, align_corners):
    """A plane at (height, width) by bilinear interpolation."""
    out = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            out[i, j] = _at(
                plane, _place(i, plane.shape[0], height, align_corners), _place(j, plane.shape[1], width, align_corners)
            )
    return out


def _place(i, n, wanted, align_corners):
    if align_corners:
        return i * (n - 1) / (wanted - 1) if wanted > 1 else 0.0
    return min(max((i + 0.5) * n / wanted - 0.5, 0.0), n - 1.0)


def _at(plane, y, x):
    """Bilinear, of a place within the plane."""
    top, left = min(int(y), plane.shape[0] - 1), min(int(x), plane.shape[1] - 1)
    bottom, right = min(top + 1, plane.shape[0] - 1), min(left + 1, plane.shape[1] - 1)
    down, along = y - top, x - left
    upper = plane[top, left] * (1 - along) + plane[top, right] * along
    lower = plane[bottom, left] * (1 - along) + plane[bottom, right] * along
    return upper * (1 - down) + lower * down


def pyramid_pool(x, levels, align_corners):
    maps, channels, height, width = x.shape
    out = np.zeros((maps, channels * (1 + len(levels)), height, width))
    out[:, :channels] = x
    for n in range(maps):
        for c in range(channels):
            for number, m in enumerate(levels, 1):
                means = spatial_pyramid(x[n : n + 1, c : c + 1], (m,), lambda v: math.fsum(v) / len(v)).reshape(m, m)
                out[n, number * channels + c] = interpolated(means, height, width, align_corners)
    return out


def rmac(x, levels):
    """As the authors' program lays out its regions, without whitening; in floats where it has them."""
    maps, channels, height, width = x.shape
    short = min(height, width)
    more_down = more_along = 0
    if height != width:
        steps = [2, 3, 4, 5, 6, 7]
        gaps = [(max(height, width) - short) / (s - 1) for s in steps]
        far = [abs((short * short - short * gap) / (short * short) - 0.4) for gap in gaps]
        chosen = far.index(min(far)) + 1
        more_down, more_along = (chosen, 0) if height > width else (0, chosen)
    out = np.zeros((maps, channels))
    for n in range(maps):
        total = np.zeros(channels)
        for level in range(1, levels + 1):
            side = math.floor(2 * short / (level + 1))
            for top in _starts(height, side, level + more_down):
                for left in _starts(width, side, level + more_along):
                    vector = [
                        max(x[n, c, r, k] for r in range(top, top + side) for k in range(left, left + side))
                        for c in range(channels)
                    ]
                    norm = math.sqrt(math.fsum(v * v for v in vector))
                    total += np.array(vector) / max(norm, 1e-6)
        out[n] = total / max(math.sqrt(math.fsum(total * total)), 1e-6)
    return out


def _starts(length, side, count):
    gap = (length - side) / (count - 1) if count > 1 else 0.0
    return [math.floor(i * gap + 1e-9) for i in range(count)]


def roi_pool(x, boxes, sizes, scale):
    """Rounded corners, whole-number bins, 0 for an empty bin."""
    _, channels, height, width = x.shape
    out = np.zeros((len(boxes), channels, *sizes))
    for k, (n, *corners) in enumerate(np.asarray(boxes, float).tolist()):
        x1, y1, x2, y2 = (math.floor(each * scale + 0.5) for each in corners)
        down, along = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for c in range(channels):
            for i in range(sizes[0]):
                for j in range(sizes[1]):
                    rows = range(max(i * down // sizes[0] + y1, 0), min(-(-(i + 1) * down // sizes[0]) + y1, height))
                    columns = range(
                        max(j * along // sizes[1] + x1, 0), min(-(-(j + 1) * along // sizes[1]) + x1, width)
                    )
                    held = [x[int(n), c, r, q] for r in rows for q in columns]
                    out[k, c, i, j] = max(held) if held else 0.0
    return out


def roi_align(x, boxes, sizes, scale, ratio, aligned):
    """Means of bilinear samples; samples further than an element beyond the map are 0."""
    _, channels, height, width = x.shape
    out = np.zeros((len(boxes), channels, *sizes))
    for k, (n, *corners) in enumerate(np.asarray(boxes, float).tolist()):
        x1, y1, x2, y2 = (each * scale - (0.5 if aligned else 0.0) for each in corners)
        down, along = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1.0), max(x2 - x1, 1.0))
        tall = ratio if ratio > 0 else max(math.ceil(down / sizes[0]), 1)
        wide = ratio if ratio > 0 else max(math.ceil(along / sizes[1]), 1)
        for c in range(channels):
            for i in range(sizes[0]):
                for j in range(sizes[1]):
                    total = 0.0
                    for a in range(tall):
                        for b in range(wide):
                            y = y1 + (i + (a + 0.5) / tall) * down / sizes[0]
                            q = x1 + (j + (b + 0.5) / wide) * along / sizes[1]
                            if -1 <= y <= height and -1 <= q <= width:
                                total += _at(x[int(n), c], min(max(y, 0), height - 1), min(max(q, 0), width - 1))
                    out[k, c, i, j] = total / (tall * wide)
    return out


def attention(tokens, scores):
    """Σ softmax(scores) tokens."""
    shares = [math.exp(s - max(scores)) for s in scores]
    return sum(share * token for share, token in zip(shares, tokens, strict=True)) / math.fsum(shares)


def attention_pool(tokens, query):
    """`query` is (heads, channels of each)."""
    parts = []
    for head, q in enumerate(query):
        part = tokens[:, head * len(q) : (head + 1) * len(q)]
        parts.append(attention(part, [float(token @ q) / math.sqrt(len(q)) for token in part]))
    return np.concatenate(parts)


def gated_attention_pool(tokens, value, gate, score):
    scores = []
    for token in tokens:
        hidden = [
            math.tanh(float(token @ value[:, k])) / (1 + math.exp(-float(token @ gate[:, k])))
            for k in range(len(score))
        ]
        scores.append(float(np.dot(hidden, score)))
    return attention(tokens, scores)


def covariance(tokens):
    mean = tokens.mean(0)
    return sum(np.outer(token - mean, token - mean) for token in tokens) / len(tokens)


def square_root(matrix):
    """By its eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T


def newton_schulz(matrix, iterations):
    trace = np.trace(matrix)
    y, z = matrix / trace, np.eye(len(matrix))
    for _ in range(iterations):
        y, z = 0.5 * y @ (3 * np.eye(len(matrix)) - z @ y), 0.5 * (3 * np.eye(len(matrix)) - z @ y) @ z
    return math.sqrt(trace) * y


def net_vlad(tokens, centers, weight, bias, normalize_input):
    residuals = np.zeros_like(centers)
    for token in tokens:
        token = token / np.linalg.norm(token) if normalize_input else token
        logits = [float(token @ weight[:, k] + bias[k]) for k in range(len(bias))]
        shares = [math.exp(logit - max(logits)) for logit in logits]
        for k, center in enumerate(centers):
            residuals[k] += shares[k] / math.fsum(shares) * (token - center)
    residuals = np.array([row / max(np.linalg.norm(row), 1e-12) for row in residuals])
    return (residuals / np.linalg.norm(residuals)).ravel()
