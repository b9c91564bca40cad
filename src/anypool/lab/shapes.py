"""How an output size comes about, spelled out."""

from __future__ import annotations

from collections.abc import Sequence

import anypool as ap


def explain(window: ap.Sliding, lengths: Sequence[int]) -> list[str]:
    """For every pooled axis, the arithmetic from its length to the number of outputs.

    Raises:
        ValueError: the window does not fit, or is written for another number of axes.

    >>> explain(ap.Sliding(3, stride=2, padding=1), [28])
    ['⌊(28 + 1 + 1 − 1·(3 − 1) − 1) / 2⌋ + 1 = ⌊27 / 2⌋ + 1 = 13 + 1 = 14']
    >>> explain(ap.Sliding(2, padding="same"), [5])
    ['⌈5 / 2⌉ = 3, with padding 0 before and 1 after']
    """
    window.output_shape(lengths)  # refuses what does not fit
    return [_axis(window, axis, length) for axis, length in enumerate(lengths)]


def _axis(window: ap.Sliding, axis: int, length: int) -> str:
    plan = window.axis_plan(axis, length)
    outputs = plan.outputs
    padding = f"{plan.pad_before} + {plan.pad_after}" if plan.pad_before or plan.pad_after else "0"
    if isinstance(window.padding, str):
        return (
            f"⌈{length} / {plan.stride}⌉ = {outputs}, with padding {plan.pad_before} before and {plan.pad_after} after"
        )
    room = length + plan.pad_before + plan.pad_after - plan.dilation * (plan.kernel_size - 1) - 1
    left, right = "⌈⌉" if window.ceil_mode else "⌊⌋"
    steps = -(-room // plan.stride) if window.ceil_mode else room // plan.stride
    said = (
        f"{left}({length} + {padding} − {plan.dilation}·({plan.kernel_size} − 1) − 1) / {plan.stride}{right} + 1 = "
        f"{left}{room} / {plan.stride}{right} + 1 = {steps} + 1 = {steps + 1}"
    )
    past = f", less a last window that starts at or past {length + plan.pad_before}: {outputs}"
    return said if steps + 1 == outputs else said + past


def has_empty_window(window: ap.Sliding, lengths: Sequence[int]) -> bool:
    """Whether some window lies in the padding altogether, so that there is no greatest element in it.

    >>> has_empty_window(ap.Sliding(2, padding=2), [28, 28]), has_empty_window(ap.Sliding(2, padding=1), [28, 28])
    (True, False)
    """
    return any(window.axis_plan(axis, length).has_empty_window for axis, length in enumerate(lengths))
