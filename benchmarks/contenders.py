"""What stands in a row: anypool in its forms, a fresh clone, and every peer a user might have instead.

A contender says for a task what to call, or refuses with the reason. `beside` names the form of anypool that does
the same for its user: it takes the same arrays, and allocates its result or writes into one, as the contender does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import anypool as ap
from anypool import Adaptive, Global, Sliding
from benchmarks.cases import AVERAGE, MAX
from benchmarks.tasks import DTYPES, Refused, Task
from benchmarks.timing import THREADS, Call

INTO, NUMPY, TORCH = "anypool out=", "anypool NumPy", "anypool torch"
NO_GRADIENTS = "has no gradients"
MANY_WINDOW_ELEMENTS = 3e8
"""What a peer that visits every element of every window one by one is still asked to visit."""


class Contender:
    """Someone who may pool. A subclass offers some of `forward`, `backward` and `training` (both, through autograd)."""

    name: str
    beside: str | None = None
    """The form of anypool to compare with; None for anypool itself and for floors."""

    def call(self, task: Task) -> Call:
        """What to time; raises Refused."""
        return getattr(self, task.row.direction)(task)

    def forward(self, task: Task) -> Call:
        raise Refused("has no pooling of this kind")

    def backward(self, task: Task) -> Call:
        raise Refused("has no gradient apart from the forward pass")

    def training(self, task: Task) -> Call:
        raise Refused(NO_GRADIENTS)

    def values(self, task: Task, result: Any) -> np.ndarray:
        """The result as a NumPy array in the layout of the user's data."""
        return np.asarray(result)


# ---------------------------------------------------------------------------------------------------------------------
# anypool on NumPy arrays


class Anypool(Contender):
    """The functions on NumPy arrays, as a user calls them."""

    name = NUMPY

    def backward(self, task: Task) -> Call:
        raise Refused(NO_GRADIENTS)

    def forward(self, task: Task, **into: Any) -> Call:
        x, window = task.x, task.window
        if not isinstance(window, Sliding) or task.row.operator not in (MAX, AVERAGE):
            return lambda: ap.pool(x, task.operator, window, task.axes, **into)
        function = ap.max_pool if task.is_max else ap.avg_pool
        last_two = task.axes == (x.ndim - 2, x.ndim - 1)
        axes = None if last_two else task.axes
        kernel, stride, padding = window.kernel_size, window.stride, window.padding
        return lambda: function(x, kernel, stride, padding, axes=axes, **into)


class AnypoolInto(Anypool):
    """The kernels alone: results go into arrays that exist, and a backward pass has its offsets."""

    name = INTO

    def forward(self, task: Task, **into: Any) -> Call:
        return super().forward(task, out=np.ones_like(super().forward(task)()))

    def backward(self, task: Task) -> Call:
        from anypool.adapters import adapter_for
        from anypool.cpu import kernels
        from anypool.pooling import decide

        pooling = decide(adapter_for(task.x), task.x, task.operator, task.window, task.axes)
        offsets = kernels.forward_with_offsets(task.x, pooling)[1] if task.is_max else None
        grad, out = task.grad, np.ones_like(task.x)
        return lambda: kernels.backward(grad, pooling, offsets, out=out)


class Clone(Contender):
    """What a fresh array costs: the input cloned."""

    name = "fresh clone"

    def forward(self, task: Task) -> Call:
        x = task.x
        return lambda: x.copy()


# ---------------------------------------------------------------------------------------------------------------------
# NumPy, scikit-image, SciPy


class NumPyPeer(Contender):
    """Blocks by reshape, other windows by sliding_window_view."""

    name, beside = "NumPy", NUMPY

    def forward(self, task: Task) -> Call:
        x, reduce = task.x, np.max if task.is_max else np.mean
        if isinstance(task.window, Global):
            return lambda: reduce(x, axis=task.axes, keepdims=True)
        kernel, stride, padding = task.sliding
        if task.blocks:
            shape: list[int] = list(x.shape)
            for axis, k in reversed(list(zip(task.axes, kernel, strict=True))):
                shape[axis : axis + 1] = [shape[axis] // k, k]
            within = tuple(axis + 1 + i for i, axis in enumerate(task.axes))
            return lambda: reduce(x.reshape(shape), axis=within)
        if any(padding):
            raise Refused("has no padding in its windows")
        if np.prod(task.output_shape) * np.prod(kernel) > MANY_WINDOW_ELEMENTS:
            raise Refused("would take minutes")
        steps = [slice(None)] * x.ndim
        for axis, s in zip(task.axes, stride, strict=True):
            steps[axis] = slice(None, None, s)
        last = tuple(range(-task.rank, 0))
        view = np.lib.stride_tricks.sliding_window_view
        return lambda: reduce(view(x, kernel, axis=task.axes)[tuple(steps)], axis=last)


class ScikitImage(Contender):
    name, beside = "scikit-image", NUMPY

    def forward(self, task: Task) -> Call:
        from skimage.measure import block_reduce

        if not task.blocks:
            raise Refused("reduces whole blocks only")
        x, block = task.x, [1] * task.x.ndim
        for axis, k in zip(task.axes, task.sliding[0], strict=True):
            block[axis] = k
        return lambda: block_reduce(x, tuple(block), np.max if task.is_max else np.mean)


class SciPy(Contender):
    name, beside = "SciPy", NUMPY

    def forward(self, task: Task) -> Call:
        from scipy import ndimage

        kernel, stride, padding = task.sliding
        if set(stride) != {1} or any(2 * p + 1 != k for k, p in zip(kernel, padding, strict=True)):
            raise Refused("filters at stride 1, output as large as input")
        if not task.is_max:
            raise Refused("counts padding in its averages")
        x, size = task.x, [1] * task.x.ndim
        for axis, k in zip(task.axes, kernel, strict=True):
            size[axis] = k
        return lambda: ndimage.maximum_filter(x, size=tuple(size), mode="constant", cval=-np.inf)


# ---------------------------------------------------------------------------------------------------------------------
# torch


class _Torch(Contender):
    """Modules of a namespace with torch's names, on tensors that share the task's memory."""

    def namespace(self) -> Any:
        raise NotImplementedError

    def module(self, task: Task) -> Any:
        """The pooling module, from torch's names and arguments."""
        names, kind = self.namespace(), "Max" if task.is_max else "Avg"
        if not isinstance(task.window, Sliding):
            size = task.window.output_size if isinstance(task.window, Adaptive) else 1
            return getattr(names, f"Adaptive{kind}Pool{task.rank}d")(size)
        extra = {} if task.is_max else {"count_include_pad": False}
        return getattr(names, f"{kind}Pool{task.rank}d")(*task.sliding, **extra)

    def forward(self, task: Task) -> Call:
        import torch

        x, module = tensor(task, task.x), self.module(task)

        def call() -> Any:
            with torch.no_grad():
                return module(x)

        return call

    def backward(self, task: Task) -> Call:
        import torch

        x, grad, module = tensor(task, task.x).requires_grad_(), tensor(task, task.grad), self.module(task)
        y = module(x)
        return lambda: torch.autograd.grad(y, x, grad, retain_graph=True)[0]

    def training(self, task: Task) -> Call:
        import torch

        x, grad, module = tensor(task, task.x).requires_grad_(), tensor(task, task.grad), self.module(task)
        return lambda: torch.autograd.grad(module(x), x, grad)[0]

    def values(self, task: Task, result: Any) -> np.ndarray:
        import torch

        result = result.detach()
        result = result.movedim(1, -1) if task.last else result
        if result.dtype is torch.bfloat16:
            return result.view(torch.uint16).numpy().view(DTYPES["bfloat16"])
        return result.numpy()


def tensor(task: Task, array: np.ndarray) -> Any:
    """The array as a tensor of the same memory, channels first in shape."""
    import torch

    if array.dtype == DTYPES["bfloat16"]:
        made = torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    else:
        made = torch.from_numpy(array)
    return made.movedim(-1, 1) if task.last else made


class AnypoolTorch(_Torch):
    name = TORCH

    def namespace(self) -> Any:
        import anypool.torch

        return anypool.torch


class Torch(_Torch):
    name, beside = "torch", TORCH

    def namespace(self) -> Any:
        import torch

        return torch.nn


class TorchCompiled(Torch):
    name, beside = "torch.compile", TORCH

    def module(self, task: Task) -> Any:
        import torch

        if isinstance(task.window, Sliding) and np.prod(task.sliding[0]) > 25:
            raise Refused("compiles windows over 25 elements to the operator of torch eager")
        torch._dynamo.reset()
        return torch.compile(super().module(task), dynamic=False)

    def backward(self, task: Task) -> Call:
        raise Refused("compiles forward and backward together; see training")


# ---------------------------------------------------------------------------------------------------------------------
# Inference engines, which write into arrays that exist


class OnnxRuntime(Contender):
    name, beside = "ONNX Runtime", INTO

    def forward(self, task: Task) -> Call:
        import onnxruntime as ort

        if task.last:
            raise Refused("ONNX pooling is channels first")
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.log_severity_level = 4
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = ort.InferenceSession(self.model(task), options, providers=["CPUExecutionProvider"])
        out = np.ones(task.output_shape, task.x.dtype)
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(task.x))
        binding.bind_output("y", "cpu", 0, out.dtype, out.shape, out.ctypes.data)

        def call() -> np.ndarray:
            session.run_with_iobinding(binding)
            return out

        return call

    def model(self, task: Task) -> bytes:
        from onnx import helper

        kind = "Max" if task.is_max else "Average"
        if isinstance(task.window, Global):
            node = helper.make_node(f"Global{kind}Pool", ["x"], ["y"])
        else:
            kernel, stride, padding = task.sliding
            node = helper.make_node(f"{kind}Pool", ["x"], ["y"], kernel_shape=kernel, strides=stride, pads=padding * 2)
        dtype = helper.np_dtype_to_tensor_dtype(task.x.dtype)
        x = helper.make_tensor_value_info("x", dtype, task.shape)
        y = helper.make_tensor_value_info("y", dtype, task.output_shape)
        graph = helper.make_graph([node], "pooling", [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
        return model.SerializeToString()


class OpenVINO(Contender):
    name, beside = "OpenVINO", INTO

    def forward(self, task: Task) -> Call:
        import openvino as ov

        if task.case.dtype == "bfloat16":
            raise Refused("takes no bfloat16 array from NumPy")
        hints = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
        if task.case.dtype == "float32":
            hints["INFERENCE_PRECISION_HINT"] = "f32"  # or it computes in bfloat16 where the processor can
        request = ov.Core().compile_model(self.model(task), "CPU", hints).create_infer_request()
        out = np.ones(task.laid_out(task.output_shape), task.x.dtype)
        request.set_input_tensor(ov.Tensor(task.x, shared_memory=True))
        request.set_output_tensor(ov.Tensor(out, shared_memory=True))

        def call() -> np.ndarray:
            request.infer()
            return out

        return call

    def model(self, task: Task) -> Any:
        import openvino as ov
        from openvino import opset14 as ops

        given = ops.parameter(task.x.shape, task.x.dtype)
        to_first = [0, task.rank + 1, *range(1, task.rank + 1)]
        x = ops.transpose(given, ops.constant(to_first)) if task.last else given
        if isinstance(task.window, Global):
            axes = ops.constant(list(range(2, task.rank + 2)))
            y = (ops.reduce_max if task.is_max else ops.reduce_mean)(x, axes, keep_dims=True).output(0)
        elif isinstance(task.window, Adaptive):
            size = ops.constant([task.window.output_size] * task.rank)
            y = (ops.adaptive_max_pool(x, size, "i32") if task.is_max else ops.adaptive_avg_pool(x, size)).output(0)
        else:
            kernel, stride, padding = map(list, task.sliding)
            if task.is_max:
                y = ops.max_pool(x, stride, [1] * task.rank, padding, padding, kernel).output(0)
            else:
                y = ops.avg_pool(x, stride, padding, padding, kernel, exclude_pad=True).output(0)
        if task.last:
            y = ops.transpose(y, ops.constant([0, *range(2, task.rank + 2), 1])).output(0)
        return ov.Model([y], [given])


# ---------------------------------------------------------------------------------------------------------------------
# TensorFlow and JAX


class TensorFlow(Contender):
    name, beside = "TensorFlow", NUMPY

    def function(self, task: Task) -> Any:
        import tensorflow as tf

        if not task.last:
            raise Refused("pools channels first only on GPUs")
        if isinstance(task.window, Global):
            reduce = tf.reduce_max if task.is_max else tf.reduce_mean
            return lambda x: reduce(x, axis=task.axes, keepdims=True)
        kernel, stride, padding = task.sliding
        explicit: Any = "VALID"
        if any(padding):
            shaped = zip(kernel, stride, padding, strict=True)
            explicit = "SAME" if all(s == 1 and 2 * p + 1 == k for k, s, p in shaped) else [[0, 0]]
            if explicit != "SAME" and task.is_max and task.rank == 2:
                explicit = [[0, 0], *([p, p] for p in padding), [0, 0]]
            elif explicit != "SAME":
                raise Refused("has no explicit padding for this operation")
        pool = getattr(tf.nn, f"{'max' if task.is_max else 'avg'}_pool{task.rank}d")
        return lambda x: pool(x, kernel, stride, explicit)

    def forward(self, task: Task) -> Call:
        import tensorflow as tf

        x, function = tf.constant(task.x), self.function(task)
        return lambda: function(x)

    def training(self, task: Task) -> Call:
        import tensorflow as tf

        x, grad, function = tf.constant(task.x), tf.constant(task.grad), self.function(task)

        @tf.function
        def step(x: Any, grad: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x, grad)

        return lambda: step(x, grad)


class Jax(Contender):
    """reduce_window, jitted, as flax.linen and Keras pool."""

    name = "JAX"
    beside: str | None = NUMPY

    def function(self, task: Task) -> Any:
        return jax_pooling(task)

    def forward(self, task: Task) -> Call:
        import jax

        x, function = jax.numpy.asarray(task.x), jax.jit(self.function(task))
        return lambda: function(x).block_until_ready()

    def backward(self, task: Task) -> Call:
        import jax

        function = self.function(task)
        x, grad = jax.numpy.asarray(task.x), jax.numpy.asarray(task.grad)
        step = jax.jit(lambda x, grad: jax.vjp(function, x)[1](grad)[0])
        return lambda: step(x, grad).block_until_ready()

    def training(self, task: Task) -> Call:
        import jax

        function = self.function(task)
        x, grad = jax.numpy.asarray(task.x), jax.numpy.asarray(task.grad)

        @jax.jit
        def step(x: Any, grad: Any) -> Any:
            y, pull = jax.vjp(function, x)
            return y, pull(grad)[0]

        return lambda: jax.block_until_ready(step(x, grad))[1]


def jax_pooling(task: Task) -> Any:
    """The function of JAX's own that pools arrays like the task's."""
    import jax.numpy as jnp
    from jax import lax

    if isinstance(task.window, Global):
        return lambda x: (jnp.max if task.is_max else jnp.mean)(x, axis=task.axes, keepdims=True)
    each: list[list[Any]] = [[1] * task.x.ndim, [1] * task.x.ndim, [(0, 0)] * task.x.ndim]
    for axis, k, s, p in zip(task.axes, *task.sliding, strict=True):
        each[0][axis], each[1][axis], each[2][axis] = k, s, (p, p)
    window = tuple(map(tuple, each))
    if task.is_max:
        lowest = 0 if task.case.dtype == "uint8" else -np.inf
        return lambda x: lax.reduce_window(x, np.array(lowest, x.dtype), lax.max, *window)

    counts = element_counts(task)  # made here, because XLA folds a window over ones for minutes
    return lambda x: lax.reduce_window(x, np.array(0, x.dtype), lax.add, *window) / counts.astype(x.dtype)


def element_counts(task: Task) -> np.ndarray:
    """How many elements each window of the task has, in a shape that broadcasts."""
    counts = np.ones([1] * task.x.ndim, np.float32)
    for axis, n, k, s, p in zip(task.axes, task.shape[2:], *task.sliding, strict=True):
        start = np.arange((n + 2 * p - k) // s + 1) * s - p
        along = np.minimum(start + k, n) - np.maximum(start, 0)
        counts = counts * along.reshape([-1 if other == axis else 1 for other in range(task.x.ndim)])
    return counts


ANYPOOL = (AnypoolInto(), Anypool(), AnypoolTorch())
PEERS: Sequence[Contender] = (
    Torch(), TorchCompiled(), OnnxRuntime(), OpenVINO(), TensorFlow(), Jax(), NumPyPeer(), ScikitImage(), SciPy(),
)  # fmt: skip
CORE_PEERS = tuple(peer for peer in PEERS if peer.name in ("torch", "ONNX Runtime", "NumPy"))
