"""PyTorch tensors: `adapter.py` chooses; `eager.py`, `library.py`, `aten.py` and `onnx.py` run."""
