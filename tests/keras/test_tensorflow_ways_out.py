"""TensorFlow's ways out of Python: graphs of unknown lengths, XLA, `vectorized_map`, SavedModel and TFLite."""

import numpy as np
import pytest
from ways_out import AXES, EVERY_POOLING, OTHER, TRACED, assert_right, image, pooling

import anypool as ap

tf = pytest.importorskip("tensorflow")

ANY_SIZE = tf.TensorSpec((None, None, None, 3))


def gradient(pool, x):
    """The gradient of Σ w·pool(x) for fixed numbers w."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = pool(x)
        w = tf.reshape(tf.cos(tf.cast(tf.range(tf.size(y)), y.dtype)), tf.shape(y))
        total = tf.reduce_sum(y * w)
    return tape.gradient(total, x)


@EVERY_POOLING
def test_graphs_of_unknown_lengths(operator, window):
    function = tf.function(pooling(operator, window), input_signature=[ANY_SIZE])
    slope = tf.function(lambda x: gradient(pooling(operator, window), x), input_signature=[ANY_SIZE])
    for size in (TRACED, OTHER):
        x = tf.constant(image(size))
        assert_right(function(x), operator, window, image(size))
        expected = gradient(pooling(operator, window, impl="definition"), x)
        np.testing.assert_allclose(slope(x), expected, rtol=1e-4, atol=1e-5)


@EVERY_POOLING
def test_compiled_by_xla(operator, window):
    x = tf.constant(image(TRACED))
    compiled = tf.function(pooling(operator, window), jit_compile=True)
    assert_right(compiled(x), operator, window, image(TRACED))


@EVERY_POOLING
def test_mapped(operator, window):
    x = image((2, *TRACED))
    slopes = tf.vectorized_map(lambda x: gradient(pooling(operator, window), x), tf.constant(x))
    got = tf.vectorized_map(pooling(operator, window), tf.constant(x))
    for each, slope, part in zip(got, slopes, x, strict=True):
        assert_right(each, operator, window, part)
        expected = gradient(pooling(operator, window), tf.constant(part))
        np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)


@EVERY_POOLING
def test_saved_models(operator, window, tmp_path):
    module = tf.Module()
    module.pool = tf.function(pooling(operator, window), input_signature=[ANY_SIZE])
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for size in (TRACED, OTHER):
        assert_right(loaded.pool(tf.constant(image(size))), operator, window, image(size))


BEYOND_TFLITE = ("lp", "gem", "median", "variance")
"""What may take operations on float64 or int64 that TFLite does not have: then its converter says which, and stops."""


@pytest.mark.filterwarnings("ignore")  # TFLite's own, of where it will be found
@pytest.mark.parametrize("batch", [2, None])
@EVERY_POOLING
def test_tflite(operator, window, batch, record_property):
    """At the size it was converted for, and the batch or any."""
    spec = tf.TensorSpec((batch, *TRACED[1:]))
    function = tf.function(pooling(operator, window), input_signature=[spec]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    try:
        interpreter = tf.lite.Interpreter(model_content=converter.convert())
    except Exception as error:  # the class is TensorFlow's own business
        if operator in BEYOND_TFLITE and "neither a custom op nor a flex op" in str(error):
            record_property("said", f"{operator}, {window}: refused by the converter, which lacks an operation of it")
            return
        raise
    given = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(given, TRACED)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given, image(TRACED))
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert_right(got, operator, window, image(TRACED))


def test_learned_powers_in_graphs(rng):
    p = tf.Variable([1.5, 3.0, 6.0])
    specs = [ANY_SIZE, tf.TensorSpec((3,))]
    learned = tf.function(lambda x, p: ap.pool(x, ap.GeM(p), ap.Sliding(3, 2, 1), AXES), input_signature=specs)
    for size in (TRACED, OTHER):
        x = abs(image(size)) + 0.1
        with tf.GradientTape() as tape:
            y = learned(tf.constant(x), p)
            total = tf.reduce_sum(y)
        channels = [ap.pool(x[..., c], ap.GeM(float(p[c])), ap.Sliding(3, 2, 1), AXES) for c in range(3)]
        np.testing.assert_allclose(y, np.stack(channels, -1), rtol=1e-5)
        up, down = (
            ap.pool(x.astype("float64"), ap.GeM(np.float64(p) + step), ap.Sliding(3, 2, 1), AXES)
            for step in (1e-5, -1e-5)
        )
        slope = (up - down).sum((0, 1, 2)) / 2e-5
        np.testing.assert_allclose(tape.gradient(total, p), slope, rtol=1e-3, atol=1e-4)


def test_unpooling_in_a_graph_asks_for_the_size_where_it_is_open():
    values, indices = ap.max_pool(tf.constant(image((1, 7, 8, 3))), 2, axes=AXES, return_indices=True)
    with pytest.raises(ValueError, match="output_size must be given in a program"):
        tf.function(lambda v, i: ap.max_unpool(v, i, 2, axes=AXES), autograph=False)(values, indices)
