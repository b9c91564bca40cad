"""What the lab measures: a measure is an entry in `MEASURES`, and a number under its name in a run.

docs/measures.md defines them.

- `shifts`: predictions of moved images. `network`: all that is measured on a network. `training`: what training costs.
- `information`, `spectrum`, `selection`: what an operator keeps of an image; `operators`: all that is measured on one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Info:
    """What a table says of a measure."""

    heading: str
    unit: Literal["share", "number", "dB", "count", "bytes", "ms"]
    better: Literal["higher", "lower"] | None
    """None where neither is better of itself."""
    of: Literal["network", "operator", "cost"]


MEASURES = {
    "accuracy": Info("test accuracy", "share", "higher", "network"),
    "consistency": Info("shift consistency", "share", "higher", "network"),
    "fidelity": Info("fidelity", "share", "higher", "network"),
    "circular_consistency": Info("circular consistency", "share", "higher", "network"),
    "wobble": Info("diagonal wobble", "share", "lower", "network"),
    "error_bilinear": Info("error, bilinear", "share", "lower", "operator"),
    "psnr_bilinear": Info("PSNR, bilinear", "dB", "higher", "operator"),
    "ssim_bilinear": Info("SSIM, bilinear", "number", "higher", "operator"),
    "error_linear": Info("error, best linear", "share", "lower", "operator"),
    "psnr_linear": Info("PSNR, best linear", "dB", "higher", "operator"),
    "ssim_linear": Info("SSIM, best linear", "number", "higher", "operator"),
    "detail_kept": Info("detail kept", "share", None, "operator"),
    "variation_ratio": Info("total variation", "share", None, "operator"),
    "aliasing": Info("aliasing", "share", "lower", "operator"),
    "selection": Info("selection entropy", "number", None, "operator"),
    "multiply_adds": Info("multiply-adds", "count", "lower", "cost"),
    "activation_bytes": Info("activation bytes", "bytes", "lower", "cost"),
    "saved_bytes": Info("saved for backward, bytes", "bytes", "lower", "cost"),
    "peak_bytes": Info("peak memory of a step, bytes", "bytes", "lower", "cost"),
    "ms_forward": Info("predicting, ms per image", "ms", "lower", "cost"),
    "ms_training_forward": Info("training forward, ms per image", "ms", "lower", "cost"),
    "ms_training_backward": Info("training backward, ms per image", "ms", "lower", "cost"),
}
