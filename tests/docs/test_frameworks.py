"""What docs/explained/frameworks.md says of other frameworks, asked of the installed ones."""

import math

import numpy as np
import pytest
from processes import run_python

NAN, INF = math.nan, math.inf


def test_torch_takes_the_last_nan_and_the_first_tie():
    torch = pytest.importorskip("torch")
    pool = torch.nn.functional.max_pool2d
    value, index = pool(torch.tensor([[[1.0, NAN], [NAN, 2.0]]]), 2, return_indices=True)
    assert (math.isnan(value.item()), index.item()) == (True, 2)
    assert pool(torch.zeros(1, 2, 2), 2, return_indices=True)[1].item() == 0
    x = torch.zeros(1, 2, 2, requires_grad=True)
    torch.nn.functional.adaptive_max_pool2d(x, 1).sum().backward()
    assert x.grad.tolist() == [[[1, 0], [0, 0]]]
    x = torch.zeros(1, 2, 2, requires_grad=True)
    x.amax((-1, -2)).sum().backward()
    assert x.grad.tolist() == [[[0.25, 0.25], [0.25, 0.25]]]


def test_torch_counts_padding_and_bounds_it():
    torch = pytest.importorskip("torch")
    pool = torch.nn.functional.avg_pool2d
    assert pool(torch.ones(1, 2, 2), 2, padding=1)[0, 0, 0].item() == 0.25
    with pytest.raises(RuntimeError, match="pad should be at most half"):
        pool(torch.ones(1, 4, 4), 2, padding=2)
    norm = torch.nn.functional.lp_pool2d
    assert math.isnan(norm(torch.full((1, 2, 2), -1.0), 3.0, 2).item())
    part, whole = norm(torch.ones(1, 1, 3), 1.0, (1, 2), ceil_mode=True)[0, 0].tolist()[::-1]
    assert part == whole == 2.0, "a partial window is counted as if it were full"


def test_jax_divides_the_ties_of_a_global_max_and_gives_those_of_windows_to_the_first():
    jax = pytest.importorskip("jax")
    from jax import lax

    def windows(x):
        return lax.reduce_window(x, -np.inf, lax.max, (2, 2), (2, 2), "VALID").sum()

    zeros = jax.numpy.zeros((2, 2))
    assert jax.grad(windows)(zeros).tolist() == [[1, 0], [0, 0]]
    assert jax.grad(lambda x: x.max())(zeros).tolist() == [[0.25, 0.25], [0.25, 0.25]]


def test_tensorflow_passes_over_nan_and_has_no_infinity_in_a_max():
    tf = pytest.importorskip("tensorflow")

    def pooled(values):
        return tf.nn.max_pool2d(tf.reshape(tf.constant(values), (1, 2, 2, 1)), 2, 2, "VALID").numpy().item()

    assert pooled([NAN, 1.0, 2.0, 3.0]) == 3.0
    assert pooled([-INF] * 4) == np.finfo("float32").min


def test_tensorflow_gives_the_gradient_of_ties_to_the_first_and_in_3d_to_all():
    tf = pytest.importorskip("tensorflow")

    def gradient(function, shape):
        x = tf.zeros(shape)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x).numpy().ravel().tolist()

    assert gradient(lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"), (1, 2, 2, 1)) == [1, 0, 0, 0]
    assert gradient(lambda x: tf.nn.max_pool3d(x, (1, 2, 2), (1, 2, 2), "VALID"), (1, 1, 2, 2, 1)) == [1] * 4
    assert gradient(lambda x: tf.reduce_max(x, (1, 2)), (1, 2, 2, 1)) == [0.25] * 4


def test_tensorflow_pads_an_odd_same_at_the_end_and_does_not_count_it():
    tf = pytest.importorskip("tensorflow")
    x = tf.reshape(tf.constant([1.0, 2.0, 3.0]), (1, 1, 3, 1))
    assert tf.nn.avg_pool2d(x, (1, 2), (1, 2), "SAME").numpy().ravel().tolist() == [1.5, 3.0]


# ---------------------------------------------------------------------------------------------------------------------
# JAX's own reductions, Keras's layers, ONNX Runtime


def test_jax_pads_an_odd_same_where_its_name_says():
    jax = pytest.importorskip("jax")

    def pooled(padding):
        return jax.lax.reduce_window(jax.numpy.array([1.0, 2, 3, 4, 5]), -np.inf, jax.lax.max, (2,), (2,), padding)

    assert pooled("SAME").tolist() == [2, 4, 5]
    assert pooled("SAME_LOWER").tolist() == [1, 3, 5]


KERAS = """
import keras, numpy as np
def pooled(layer, x):
    return keras.ops.convert_to_numpy(layer((1, 4), strides=1, padding="same")(x)).ravel().tolist()
x = np.array([1.0, 2, 3, 4, 5], "float32").reshape(1, 1, 5, 1)
print(pooled(keras.layers.AveragePooling2D, x), pooled(keras.layers.MaxPooling2D, -x))
"""


@pytest.mark.parametrize(
    ("backend", "averages"),
    [
        pytest.param("jax", "[2.0, 2.5, 3.5, 4.0, 4.5]", marks=pytest.mark.slow),
        ("torch", "[1.75, 2.5, 3.5, 4.25, 4.75]"),  # (1 + 1 + 2 + 3)/4: the border is repeated
        pytest.param("tensorflow", "[2.0, 2.5, 3.5, 4.0, 4.5]", marks=pytest.mark.slow),
    ],
)
def test_keras_counts_no_padding_but_repeats_the_border_on_torch(backend, averages):
    for name in ("keras", backend):
        pytest.importorskip(name)
    done = run_python("-c", KERAS, KERAS_BACKEND=backend)
    assert done.stdout.strip() == f"{averages} [-1.0, -1.0, -2.0, -3.0, -4.0]", done.stderr


def by_onnx_runtime(operator, x, **attributes):
    """What ONNX Runtime makes of x, shape (height, width), or (width,), by one operator."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    x = np.asarray(x, "float32")[None, None]
    node = onnx.helper.make_node(operator, ["x"], ["y"], **attributes)
    kind = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in (("x", x.shape), ("y", None))]
    graph = onnx.helper.make_graph([node], "pooling", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 22)], ir_version=10)
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what it refuses is for the test to say
    return runtime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0][0, 0].tolist()


def test_onnx_runtime_pads_as_onnx_says():
    ones = [[1.0, 1.0], [1.0, 1.0]]
    around = {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}
    assert by_onnx_runtime("AveragePool", ones, **around)[0] == [1, 1, 1]
    assert by_onnx_runtime("AveragePool", ones, **around, count_include_pad=1)[0] == [0.25, 0.5, 0.25]
    assert by_onnx_runtime("MaxPool", [[-1.0]], **around) == [[-1, -1], [-1, -1]]
    pairs = {"kernel_shape": [2], "strides": [2]}
    assert by_onnx_runtime("MaxPool", [1, 2, 3], **pairs, auto_pad="SAME_UPPER") == [2, 3]
    assert by_onnx_runtime("MaxPool", [1, 2, 3], **pairs, auto_pad="SAME_LOWER") == [1, 3]
    with pytest.raises(Exception, match="Pad should be smaller than kernel"):
        by_onnx_runtime("MaxPool", ones, kernel_shape=[2, 2], pads=[2, 2, 2, 2])


def test_onnx_runtime_drops_a_last_window_and_counts_no_overhang():
    ceil = {"ceil_mode": 1, "kernel_shape": [2], "strides": [3], "pads": [0, 1]}
    assert by_onnx_runtime("MaxPool", [1, 2, 3], **ceil) == [2]
    sixteen = np.arange(1.0, 17).reshape(4, 4)
    whole = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "ceil_mode": 1, "count_include_pad": 1}
    assert by_onnx_runtime("AveragePool", sixteen, **whole)[2] == [4.5, 7.5, 4]


def test_onnx_runtime_passes_over_nan_has_no_infinity_and_takes_magnitudes():
    assert by_onnx_runtime("MaxPool", [[NAN, 1], [NAN, 2]], kernel_shape=[2, 2]) == [[2]]
    assert by_onnx_runtime("MaxPool", [[-INF] * 2] * 2, kernel_shape=[2, 2]) == [[float(np.finfo("float32").min)]]
    assert by_onnx_runtime("LpPool", [[-1.0, -1.0], [-1.0, -1.0]], kernel_shape=[2, 2]) == [[2]]
