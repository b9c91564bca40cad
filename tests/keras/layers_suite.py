"""The Keras layers on one backend; tests/test_keras.py runs this file in a process for each."""

import itertools
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import ways_out

import anypool as ap
import anypool.keras as layers

BACKEND = keras.backend.backend()
FORMATS = ("channels_last", "channels_first")
RANKS = (1, 2, 3)
SHAPES = {1: (2, 7, 3), 2: (2, 7, 6, 3), 3: (2, 5, 6, 4, 3)}
SLIDING = [{"pool_size": 2}, {"pool_size": 3, "strides": 2, "padding": "same"}, {"pool_size": 3, "strides": 1}]

# torch and Keras's torch backend speak NumPy's older protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def image(rng, rank, data_format="channels_last"):
    x = rng.normal(size=SHAPES[rank]).astype("float32")
    return np.moveaxis(x, -1, 1).copy() if data_format == "channels_first" else x


def pair(name, **options):
    """Our layer and Keras's of this name."""
    return getattr(layers, name)(name="it", **options), getattr(keras.layers, name)(name="it", **options)


def call(function, x, **options):
    """function(x) as a NumPy array; compiled as a whole in JAX, which is quicker than operation by operation."""
    if BACKEND == "jax":
        import jax

        return numpy(jax.jit(function)(x, **options))
    return numpy(function(x, **options))


def result(function, x):
    """function(x) and the gradient of Σ weights·function(x)."""
    if BACKEND == "jax":
        import jax

        def both(x):
            y, pull = jax.vjp(function, x)
            return y, pull(weights(y.shape).astype(y.dtype))[0]

        y, slope = jax.jit(both)(x)
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        leaf = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(leaf)
            y = function(leaf)
        slope = tape.gradient(y, leaf, weights(y.shape))
    else:
        import torch

        leaf = torch.from_numpy(x).requires_grad_(True)
        y = function(leaf)
        (slope,) = torch.autograd.grad(y, leaf, torch.from_numpy(weights(tuple(y.shape))))
    return numpy(y), numpy(slope)


def weights(shape):
    return (np.arange(np.prod(shape), dtype="float32") % 7 + 1).reshape(shape)


def assert_same(ours, theirs, x):
    """Values and gradients are the same."""
    for one, other in zip(result(ours, x), result(theirs, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=4e-6)


def every_layer_keras_has():
    formats = {1: ["channels_last"], 2: FORMATS, 3: ["channels_first"]}
    for rank, kind in itertools.product(RANKS, ("Max", "Average")):
        for data_format in formats[rank]:
            for options in SLIDING if rank == 2 else SLIDING[1:2]:
                yield f"{kind}Pooling{rank}D", {**options, "data_format": data_format}
            yield f"Global{kind}Pooling{rank}D", {"keepdims": rank == 2, "data_format": data_format}
            yield f"Adaptive{kind}Pooling{rank}D", {"output_size": (2, 3, 4)[:rank], "data_format": data_format}


# ---------------------------------------------------------------------------------------------------------------------
# As keras.layers


@pytest.mark.parametrize(("name", "options"), list(every_layer_keras_has()))
def test_is_as_in_keras(name, options, rng):
    ours, theirs = pair(name, **options)
    x = image(rng, ours.rank, ours.data_format)
    assert ours.get_config() == theirs.get_config()
    assert ours.compute_output_shape(x.shape) == theirs.compute_output_shape(x.shape)
    assert ours(keras.Input(x.shape[1:])).shape == theirs(keras.Input(x.shape[1:])).shape
    if BACKEND == "torch" and name.startswith("Average") and options.get("padding") == "same":
        return  # Keras averages copies of the border in on torch, and on no other backend
    assert_same(ours, theirs, x)


@pytest.mark.parametrize("name", ["Max", "Avg", "GlobalMax", "GlobalAvg"])
@pytest.mark.parametrize("rank", RANKS)
def test_keras_short_names(name, rank):
    short = f"{name}Pool{rank}D"
    assert getattr(keras.layers, short).__name__ == getattr(layers, short).__name__


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("data_format", FORMATS)
def test_gradient_of_ties_goes_to_the_first_as_in_keras(padding, data_format, rng):
    x = np.maximum(image(rng, 2, data_format).round(), 0)
    ours, theirs = pair("MaxPooling2D", pool_size=3, strides=2, padding=padding, data_format=data_format)
    assert_same(ours, theirs, x)


@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_a_network_learns_as_with_keras_layers(kind, rng):
    x, y = rng.normal(size=(24, 12, 12, 1)).astype("float32"), rng.integers(0, 3, 24)
    losses, start = [], None
    for namespace in (keras.layers, layers):
        model = keras.Sequential(
            [
                keras.Input((12, 12, 1)),
                keras.layers.Conv2D(4, 3, activation="relu"),
                getattr(namespace, f"{kind}Pooling2D")(2),
                keras.layers.Conv2D(4, 3, activation="relu"),
                getattr(namespace, f"Global{kind}Pooling2D")(),
                keras.layers.Dense(3, activation="softmax"),
            ]
        )
        start = start or model.get_weights()
        model.set_weights(start)
        model.compile("adam", "sparse_categorical_crossentropy")
        losses.append(model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert losses[1][-1] < losses[1][0]


def network(namespace, kind):
    """A small convolutional network whose pooling layers come from this namespace."""
    pool = getattr(namespace, f"{kind}Pooling2D")
    convolutions = [keras.layers.Conv2D(4, 3, activation="relu") for _ in range(2)]
    dense = keras.layers.Dense(3, activation="softmax")
    first, second = convolutions
    return keras.Sequential([keras.Input((13, 13, 1)), first, pool(2), second, pool(2), keras.layers.Flatten(), dense])


@pytest.mark.skipif(BACKEND != "jax", reason="is about what XLA compiles")
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_prediction_compiles_to_the_same_program_as_with_keras_layers(kind):
    """So that predict and evaluate are as fast."""
    import jax

    def program(namespace):
        model = network(namespace, kind)
        weights = [variable.value for variable in model.variables]
        predict = jax.jit(lambda weights, x: model.stateless_call(weights, [], x)[0])
        text = predict.lower(weights, np.zeros((8, 13, 13, 1), "float32")).compile().as_text()
        text = re.sub(r"(?m)^(FileNames|FunctionNames|FileLocations|StackFrames)\n(.+\n)*", "", text)
        text = re.sub(r", metadata={[^}]*}", "", text)
        return re.sub(r"\b([a-z_][\w-]*)((\.\d+)+)", r"\1", text)  # the numbers in names

    ours = program(layers)
    assert "reduce-window" in ours
    assert ours == program(keras.layers)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="is about TensorFlow's graphs")
@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("batch", [8, None])
def test_training_is_the_same_graph_as_with_keras_layers(kind, batch):
    """So that it is as fast: every operation that values and gradients depend on is TensorFlow's own, and no other."""
    import tensorflow as tf

    def described(tensor):
        attributes = {name: str(value) for name, value in tensor.op.node_def.attr.items()}
        return tensor.op.type, attributes, [described(given) for given in tensor.op.inputs]

    def graph(namespace):
        layer = getattr(namespace, f"{kind}Pooling2D")(2)

        @tf.function(input_signature=[tf.TensorSpec((batch, 13, 13, 2))])
        def step(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            return y, tape.gradient(y, x)

        return [described(output) for output in step.get_concrete_function().outputs]

    ours = graph(layers)
    assert ours == graph(keras.layers)
    assert f"{kind[:3].replace('Ave', 'Avg')}Pool" in str(ours)


# ---------------------------------------------------------------------------------------------------------------------
# What Keras lacks

EXTRAS = [
    ("MaxPooling", {"pool_size": 3, "padding": 1, "dilation": 2}),
    ("MinPooling", {"pool_size": 3, "strides": 1, "padding": ((0, 1), (1, 0)), "data_format": "channels_first"}),
    ("AveragePooling", {"pool_size": 3, "padding": (1, 0), "ceil_mode": True}),
    ("AveragePooling", {"pool_size": 3, "padding": 1, "count_include_pad": True, "data_format": "channels_first"}),
    ("AveragePooling", {"pool_size": 3, "padding": "same_lower", "strides": (2, 3)}),
    (
        "MinPooling",
        {"pool_size": 3, "padding": "same", "dilation": (1, 2), "strides": 1, "data_format": "channels_first"},
    ),
    ("AdaptiveMinPooling", {"output_size": (3, None)}),
    ("GlobalMinPooling", {"keepdims": True, "data_format": "channels_first"}),
]


@pytest.mark.parametrize(("name", "options"), EXTRAS)
def test_extras_are_as_on_numpy_arrays(name, options, rng):
    """Values against the definition on NumPy arrays, gradients against those of the definition."""
    layer = getattr(layers, f"{name}2D")(**options)
    x = image(rng, 2, layer.data_format)
    expected = ap.pool(x, layer.operator, layer.window, layer.axes)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *expected.shape[1:])
    np.testing.assert_allclose(result(layer, x)[0], expected, rtol=2e-6, atol=2e-6)
    assert_same(layer, lambda a: ap.pool(a, layer.operator, layer.window, layer.axes, impl="definition"), x)


@pytest.mark.parametrize(("rank", "data_format"), [(1, "channels_last"), (2, "channels_first"), (3, "channels_last")])
def test_min_pooling_in_every_rank(rank, data_format, rng):
    x = image(rng, rank, data_format)
    for name, options in (("Min", {}), ("GlobalMin", {}), ("AdaptiveMin", {"output_size": 2})):
        ours = getattr(layers, f"{name}Pooling{rank}D")(data_format=data_format, **options)
        opposite = getattr(layers, f"{name.replace('Min', 'Max')}Pooling{rank}D")(data_format=data_format, **options)
        np.testing.assert_array_equal(call(ours, x), -call(opposite, -x))
    assert getattr(layers, f"MinPool{rank}D") is getattr(layers, f"MinPooling{rank}D")
    assert getattr(layers, f"GlobalMinPool{rank}D") is getattr(layers, f"GlobalMinPooling{rank}D")


@pytest.mark.parametrize("kind", ["Max", "Min", "Average"])
@pytest.mark.parametrize(("data_format", "keepdims"), [("channels_last", False), ("channels_first", True)])
def test_masked_steps_do_not_count(kind, data_format, keepdims, rng):
    x, mask = image(rng, 1, data_format), np.array([[True] * 4 + [False] * 3, [False, True] + [False] * 5])
    layer = getattr(layers, f"Global{kind}Pooling1D")(data_format=data_format, keepdims=keepdims)
    axis = 1 if data_format == "channels_last" else 2
    rows = [np.compress(m, row, axis - 1) for m, row in zip(mask, x, strict=True)]
    reduction = {"Max": np.max, "Min": np.min, "Average": np.mean}[kind]
    expected = np.stack([reduction(row, axis - 1, keepdims=keepdims) for row in rows])
    np.testing.assert_allclose(call(layer, x, mask=mask), expected, rtol=1e-6)
    if kind == "Average":
        theirs = keras.layers.GlobalAveragePooling1D(data_format=data_format, keepdims=keepdims)
        np.testing.assert_allclose(call(layer, x, mask=mask), call(theirs, x, mask=mask), rtol=1e-6)


MASKED_DTYPES = ("bool", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32)), "float16", "float32")


@pytest.mark.parametrize("dtype", MASKED_DTYPES)
def test_masked_steps_of_every_dtype(dtype, rng):
    """What is left out changes neither values nor dtype: as pooling what is left, of that dtype."""
    x = (rng.integers(0, 2, (2, 9, 3)) if dtype == "bool" else rng.integers(90, 120, (2, 9, 3))).astype(dtype)
    mask = np.zeros((2, 9), bool)
    mask[:, :7] = True
    for kind in ("Max", "Min", "Average"):
        layer = getattr(layers, f"Global{kind}Pooling1D")()
        got = layer(keras.ops.convert_to_tensor(x), mask=keras.ops.convert_to_tensor(mask))
        expected = layer(keras.ops.convert_to_tensor(x[:, :7]))
        assert got.dtype == expected.dtype, kind
        np.testing.assert_allclose(numpy(got).astype(float), numpy(expected).astype(float), rtol=1e-3, err_msg=kind)


def test_masks_come_from_layers_before_and_end_here():
    tokens = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    embedding = keras.layers.Embedding(5, 3, mask_zero=True)
    for kind in ("Max", "Min", "Average"):
        steps = keras.Input((4,))
        pooled = getattr(layers, f"Global{kind}Pooling1D")()(embedding(steps))
        output = keras.Model(steps, pooled).predict(tokens, verbose=0)
        np.testing.assert_allclose(output[1], numpy(embedding.embeddings)[3], rtol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# Subclasses

OF_EVERY_BASE = [
    ("MaxPooling2D", {}),
    ("AveragePooling2D", {}),
    ("GlobalMinPooling2D", {}),
    ("AdaptiveMaxPooling2D", {"output_size": 2}),
]


@pytest.mark.parametrize(("name", "options"), OF_EVERY_BASE)
def test_a_subclass_with_weights_of_its_own_is_built(name, options, rng):
    kind = getattr(layers, name)

    class Scaled(kind):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")

        def call(self, inputs):
            return super().call(inputs) * self.scale

    layer, x = Scaled(**options), image(rng, 2)
    assert not layer.built
    np.testing.assert_array_equal(numpy(layer(x)), numpy(kind(**options)(x)))
    assert layer.built
    assert len(layer.weights) == 1
    assert kind(**options).built


# ---------------------------------------------------------------------------------------------------------------------
# Sizes, precision, saving


def every_kind():
    """A model with every kind of window, for images of any size."""
    pixels = keras.Input((None, None, 2))
    outputs = [
        layers.MaxPooling2D(3, 2, "same")(pixels),
        layers.MinPooling2D(3, 1)(pixels),
        layers.AveragePooling2D(3, 1, 1, ceil_mode=True)(pixels),
        layers.MaxPooling2D(2, 1, "same", dilation=2)(pixels),
        layers.AdaptiveMaxPooling2D(3)(pixels),
        layers.AdaptiveAveragePooling2D((2, 5))(pixels),
        layers.GlobalMaxPooling2D()(pixels),
        layers.GlobalAveragePooling2D(keepdims=True)(pixels),
        ap.max_pool(pixels, 2, axes=(1, 2)),
    ]
    return keras.Model(pixels, outputs)


SIZES = ((8, 9), (13, 6), (12, 12))


def check_every_kind(predict, rng, sizes=SIZES):
    for rows, columns in sizes:
        x = rng.normal(size=(2, rows, columns, 2)).astype("float32")
        outputs = [numpy(output) for output in predict(x)]
        axes = (1, 2)
        expected = [
            ap.max_pool(x, 3, 2, "same", axes=axes),
            ap.min_pool(x, 3, 1, axes=axes),
            ap.avg_pool(x, 3, 1, 1, ceil_mode=True, axes=axes),
            ap.max_pool(x, 2, 1, "same", dilation=2, axes=axes),
            ap.adaptive_pool(x, "max", 3, axes=axes),
            ap.adaptive_pool(x, "average", (2, 5), axes=axes),
            ap.global_pool(x, "max", axes),
            ap.global_pool(x, "average", axes, keepdims=True),
            ap.max_pool(x, 2, axes=axes),
        ]
        for output, right in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, right, rtol=2e-6, atol=2e-6)


def test_one_model_predicts_on_three_sizes_in_turn(rng):
    model = every_kind()
    assert [output.shape[1:] for output in model.outputs][4:6] == [(3, 3, 2), (2, 5, 2)]
    assert model.outputs[0].shape == (None, None, None, 2)
    check_every_kind(lambda x: model.predict(x, verbose=0), rng)


def test_models_save_and_load_without_custom_objects(tmp_path, rng):
    model = every_kind()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    check_every_kind(lambda x: loaded.predict(x, verbose=0), rng, SIZES[:1])


@pytest.mark.filterwarnings("ignore:The `native_serialization:DeprecationWarning")  # Keras's call of jax2tf
@pytest.mark.skipif(BACKEND == "torch", reason="Keras exports from torch with fixed sizes only")
def test_models_export(tmp_path, rng):
    import tensorflow as tf

    every_kind().export(tmp_path / "model", verbose=False)
    check_every_kind(tf.saved_model.load(tmp_path / "model").serve, rng)


@pytest.mark.skipif(BACKEND != "torch", reason="is what Keras exports from torch")
@pytest.mark.filterwarnings("ignore")  # of torch's older exporter, which Keras calls
def test_models_export_from_torch_as_onnx(tmp_path, rng):
    onnxruntime = pytest.importorskip("onnxruntime")
    pixels = keras.Input((9, 8, 2))
    pooled = layers.MinPooling2D(2)(layers.MaxPooling2D(3, 2, "same")(pixels))
    model = keras.Model(pixels, [pooled, layers.AveragePooling2D(2)(pixels), layers.GlobalMaxPooling2D()(pixels)])
    x = rng.normal(size=(3, 9, 8, 2)).astype("float32")
    expected = model.predict(x, verbose=0)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for got, right in zip(session.run(None, {session.get_inputs()[0].name: x}), expected, strict=True):
        np.testing.assert_allclose(got, right, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("name", "options"), EXTRAS)
def test_configurations_round_trip(name, options):
    layer = getattr(layers, f"{name}2D")(**options)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    assert (again.window, again.operator) == (layer.window, layer.operator)


@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "AdaptiveMaxPooling2D"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(name, policy, rng):
    options = {"output_size": 3} if name.startswith("Adaptive") else {}
    layer = getattr(layers, name)(dtype=policy, **options)
    x = image(rng, 2)
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    expected = ap.pool(x, layer.operator, layer.window, layer.axes)
    values = numpy(keras.ops.cast(y, "float32"))
    np.testing.assert_allclose(values, expected.reshape(values.shape), rtol=1e-2, atol=2e-2)
    assert layer(keras.Input(x.shape[1:])).dtype == policy.removeprefix("mixed_")


# ---------------------------------------------------------------------------------------------------------------------
# Symbolic tensors and variables


def test_functions_of_every_operator_and_window_are_saved(tmp_path):
    names = [
        *((operator, "padded") for operator in ways_out.OPERATORS),
        *(("max", window) for window in ways_out.WINDOWS),
    ]
    pixels = keras.Input((None, None, 3))
    model = keras.Model(pixels, [ways_out.pooling(*name)(pixels) for name in names])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for size in (ways_out.TRACED, ways_out.OTHER):
        outputs = loaded.predict_on_batch(ways_out.image(size))
        for name, output in zip(names, outputs, strict=True):
            ways_out.assert_right(output, *name, ways_out.image(size))


DATA = Path(__file__).parents[1] / "data"


def test_models_of_the_first_version_load_and_predict_the_same():
    model = keras.models.load_model(DATA / "functions-0.1.0.keras")
    kept = np.load(DATA / "functions-0.1.0.npz")
    outputs = model.predict(kept["x"], verbose=0)
    assert len(outputs) == len([name for name in kept if name.startswith("y")])
    for number, output in enumerate(outputs):
        np.testing.assert_allclose(output, kept[f"y{number}"], rtol=1e-6, err_msg=str(number))


@pytest.mark.parametrize("two", [np.int64(2), np.array(2), np.array([2, 2]), [np.int64(2)] * 2], ids=repr)
def test_settings_of_numpys_kinds(two, rng):
    padding, true = np.array([[1, 0], [0, 1]]), np.True_
    made = {
        "sliding": layers.MaxPooling2D(two, two, padding, dilation=np.array(1), ceil_mode=true),
        "average": layers.AveragePooling2D(two, count_include_pad=true),
        "adaptive": layers.AdaptiveMaxPooling2D(two),
        "global": layers.GlobalMaxPooling2D(keepdims=true),
    }
    plain = {
        "sliding": layers.MaxPooling2D(2, 2, ((1, 0), (0, 1)), dilation=1, ceil_mode=True),
        "average": layers.AveragePooling2D(2, count_include_pad=True),
        "adaptive": layers.AdaptiveMaxPooling2D(2),
        "global": layers.GlobalMaxPooling2D(keepdims=True),
    }
    x = image(rng, 2)
    for kind, layer in made.items():
        configuration = json.loads(json.dumps(layer.get_config()))
        again = type(layer).from_config(configuration)
        np.testing.assert_array_equal(numpy(again(x)), numpy(plain[kind](x)), kind)


def test_functions_in_functional_models(tmp_path, rng):
    pixels = keras.Input((6, None, 2))
    values, indices = ap.max_pool(pixels, (2, 3), axes=(1, 2), return_indices=True)
    assert values.shape == indices.shape == (None, 3, None, 2)
    back = ap.max_unpool(values, indices, (2, 3), output_size=(6, 9), axes=(1, 2))
    assert back.shape == (None, 6, 9, 2)
    average = ap.avg_pool(pixels, 2, 1, "same", axes=(1, 2), dtype="float32")
    top = ap.global_pool(pixels, ap.Max(), axes=(1, 2))
    assert top.shape == (None, 2)
    keras.Model(pixels, [values, indices, back, average, top]).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    x = rng.normal(size=(2, 6, 9, 2)).astype("float32")
    expected = ap.max_pool(x, (2, 3), axes=(1, 2), return_indices=True)
    outputs = model.predict(x, verbose=0)
    np.testing.assert_array_equal(outputs[0], expected[0])
    np.testing.assert_array_equal(outputs[1], expected[1])
    np.testing.assert_array_equal(outputs[2], ap.max_unpool(*expected, (2, 3), axes=(1, 2)))
    np.testing.assert_allclose(outputs[3], ap.avg_pool(x, 2, 1, "same", axes=(1, 2)), rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(outputs[4], x.max((1, 2)))


def test_symbolic_dtypes_are_the_backends(rng):
    x = keras.Input((4, 4, 1), dtype="uint8")
    array = np.arange(16, dtype="uint8").reshape(1, 4, 4, 1)
    for operator in ("max", "average", "sum"):
        symbol = ap.pool(x, operator, ap.Sliding(2), axes=(1, 2))
        y = ap.pool(keras.ops.convert_to_tensor(array), operator, ap.Sliding(2), axes=(1, 2))
        assert symbol.dtype == keras.backend.standardize_dtype(y.dtype)


def test_symbolic_calls_are_checked():
    with pytest.raises(ValueError, match="kernel_size 9"):
        ap.max_pool(keras.Input((4, 4, 1)), 9, axes=(1, 2))
    with pytest.raises(ValueError, match="impl must be one of"):
        ap.max_pool(keras.Input((4, 4, 1)), 2, axes=(1, 2), impl="fast")


def test_variables_are_pooled_as_their_values(rng):
    x = image(rng, 2)
    np.testing.assert_array_equal(numpy(ap.max_pool(keras.Variable(x), 2)), ap.max_pool(x, 2))


# ---------------------------------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (ValueError, "pool_size must be between 1", lambda: layers.MaxPooling2D(0)),
        (ValueError, "strides must be between 1", lambda: layers.MaxPooling2D(2, strides=0)),
        (TypeError, "pool_size must be an integer", lambda: layers.MaxPooling2D(2.5)),
        (ValueError, r"pool_size must be .* \(2\)", lambda: layers.MaxPooling2D((2, 2, 2))),
        (ValueError, "dilation must be between 1", lambda: layers.MaxPooling1D(2, dilation=-1)),
        (ValueError, "padding must be one of", lambda: layers.AveragePooling2D(2, padding="full")),
        (ValueError, "padding", lambda: layers.AveragePooling2D(2, padding=-1)),
        (TypeError, "ceil_mode", lambda: layers.AveragePooling2D(2, ceil_mode=2)),
        (ValueError, "data_format must be", lambda: layers.MaxPooling2D(data_format="NHWC")),
        (TypeError, "keepdims must be", lambda: layers.GlobalMinPooling2D(keepdims="yes")),
        (ValueError, "output_size must be between 1", lambda: layers.AdaptiveMaxPooling2D(0)),
        (ValueError, r"output_size must be .* \(3\)", lambda: layers.AdaptiveMaxPooling3D((2, 2))),
        (TypeError, "count_include_pad must be", lambda: layers.AveragePooling2D(count_include_pad=1)),
        (ValueError, "a window must fit", lambda: layers.MaxPooling2D(5)(keras.Input((4, 4, 1)))),
        (ValueError, "a window must fit", lambda: layers.MaxPooling2D(5)(np.zeros((1, 4, 4, 1), "float32"))),
        (ValueError, "expected min_ndim=4", lambda: layers.MaxPooling2D()(np.zeros((4, 4, 1), "float32"))),
        (ValueError, "input_shape must have at least 4", lambda: layers.MaxPooling2D().compute_output_shape((1, 4, 4))),
        (ValueError, "without any element", lambda: layers.MaxPooling1D(2, padding=3)(np.zeros((1, 4, 1), "float32"))),
    ],
)
def test_bad_input(error, words, make):
    with pytest.raises(error, match=words):
        make()
