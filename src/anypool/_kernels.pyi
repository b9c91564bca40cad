from typing import Any

isa: str | None

def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...

class Kernel:
    offset_dtype: str

    def __init__(
        self,
        operation: str,
        dtype: str,
        accumulator: str,
        result: str,
        shape: list[int],
        output_shape: list[int],
        pooled: list[int],
        axes: list[tuple[Any, ...]],
        divisor: int,
    ) -> None: ...
    def forward(self, x: Any, out: Any = None) -> Any: ...
    def forward_with_offsets(self, x: Any, out: Any = None, offsets_out: Any = None) -> tuple[Any, Any]: ...
    def indices(self, offsets: Any, out: Any = None) -> Any: ...
    def backward(self, grad: Any, offsets: Any = None, out: Any = None) -> Any: ...
