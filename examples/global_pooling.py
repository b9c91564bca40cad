"""Global pooling of a small picture: one number for all of it, the greatest, the average or the least."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
from keras import Sequential

from anypool.keras import GlobalAveragePooling2D, GlobalMaxPooling2D, GlobalMinPooling2D

image = np.array([[2, 2, 7, 3], [9, 4, 6, 1], [8, 5, 2, 4], [3, 1, 2, 6]])
image = image.reshape(1, 4, 4, 1)

for name, layer in {"gm": GlobalMaxPooling2D(), "ga": GlobalAveragePooling2D(), "gmin": GlobalMinPooling2D()}.items():
    output = Sequential([layer]).predict(image, verbose=0)
    print(f"{name}_output: ", np.squeeze(output))
