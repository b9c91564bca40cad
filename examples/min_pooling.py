"""Min pooling of a small picture: each 2×2 window keeps its least number. Keras alone has no layer for it."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
from keras import Sequential

from anypool.keras import MinPooling2D

image = np.array([[2, 2, 7, 3], [9, 4, 6, 1], [8, 5, 2, 4], [3, 1, 2, 6]])
image = image.reshape(1, 4, 4, 1)

model = Sequential([MinPooling2D(pool_size=2, strides=2)])
output = model.predict(image, verbose=0)

print(np.squeeze(output))
