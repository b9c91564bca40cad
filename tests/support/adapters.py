"""The array kinds under test: how a test makes one, reads one and differentiates on one.

Each loads its framework when asked for and skips the test only where that framework is not installed.
"""

import ml_dtypes
import numpy as np
import pytest

FLOATS = ("float16", "bfloat16", "float32", "float64")
DTYPES = ("bool", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)), *FLOATS)


def dtype(name):
    """NumPy's dtype of that name, bfloat16 too."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


QUICK_TO_COMPILE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class NumPy:
    """NumPy arrays; every other kind is made from and read back as one."""

    name = "numpy"
    dtypes = DTYPES
    differentiates = False
    floating, signed, unsigned = "float64", "int64", "uint64"
    index = "int64"
    exact_specials = True
    """Whether `auto` promises results for NaN and infinities."""

    def make(self, x):
        return x

    def numpy(self, y):
        assert isinstance(y, np.ndarray), type(y)
        return y

    def is_own(self, y):
        return isinstance(y, np.ndarray)

    def compiled(self, function):
        """The function as one compilation, where meeting new shapes operation by operation would take long."""
        return function


class Torch(NumPy):
    name = "torch"
    differentiates = True
    floating = "float32"

    def __init__(self):
        self.torch = pytest.importorskip("torch")

    def make(self, x):
        """A tensor with the layout of x where a tensor can have it."""
        if any(stride < 0 for stride in x.strides) or not x.dtype.isnative or not x.flags.writeable:
            x = x.astype(x.dtype.newbyteorder("="), order="K").copy()
        if x.dtype == dtype("bfloat16"):
            return self.torch.from_numpy(x.view(np.int16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(x)

    def numpy(self, y):
        assert self.is_own(y), type(y)
        y = y.detach()
        return y.view(self.torch.int16).numpy().view(dtype("bfloat16")) if y.dtype == self.torch.bfloat16 else y.numpy()

    def is_own(self, y):
        return isinstance(y, self.torch.Tensor)

    def gradient(self, function, x, upstream):
        """The gradient of Σ upstream·function(x), as NumPy's."""
        leaf = self.make(x).requires_grad_(True)
        (result,) = self.torch.autograd.grad(function(leaf), leaf, self.make(upstream))
        return self.numpy(result)


class Jax(NumPy):
    name = "jax"
    differentiates = True
    exact_specials = False

    def __init__(self):
        self.jax = pytest.importorskip("jax")
        if not self.jax.config.jax_enable_x64:
            self.dtypes = tuple(name for name in DTYPES if not name.endswith("64"))
            self.floating, self.signed, self.unsigned, self.index = "float32", "int32", "uint32", "int32"

    def make(self, x):
        return self.jax.numpy.asarray(np.ascontiguousarray(x.astype(x.dtype.newbyteorder("="))))

    def numpy(self, y):
        assert self.is_own(y), type(y)
        return np.asarray(y)

    def is_own(self, y):
        return isinstance(y, self.jax.Array)

    def compiled(self, function):
        return self.jax.jit(function, compiler_options=QUICK_TO_COMPILE)

    def gradient(self, function, x, upstream):
        def pulled_back(x, upstream):
            return self.jax.vjp(function, x)[1](upstream)[0]

        return self.numpy(self.compiled(pulled_back)(self.make(x), self.make(upstream)))


class TensorFlow(NumPy):
    name = "tensorflow"
    differentiates = True
    exact_specials = False
    floating = "float32"

    def __init__(self):
        self.tf = pytest.importorskip("tensorflow")

    def make(self, x):
        return self.tf.constant(np.ascontiguousarray(x.astype(x.dtype.newbyteorder("="))))

    def numpy(self, y):
        assert self.is_own(y), type(y)
        return y.numpy()

    def is_own(self, y):
        return self.tf.is_tensor(y)

    def gradient(self, function, x, upstream):
        leaf = self.make(x)
        with self.tf.GradientTape() as tape:
            tape.watch(leaf)
            y = function(leaf)
        return self.tf.convert_to_tensor(tape.gradient(y, leaf, self.make(upstream))).numpy()


ADAPTERS = {kind.name: kind for kind in (NumPy, Torch, Jax, TensorFlow)}
EVERY_ADAPTER = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)
DIFFERENTIABLE = pytest.mark.parametrize(
    "adapter", [n for n, kind in ADAPTERS.items() if kind.differentiates], indirect=True
)
