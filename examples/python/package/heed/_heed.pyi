# SPDX-License-Identifier: MIT
# mypy: enable-incomplete-feature=Unpack
"""Types of the compiled module; help(heed) has the words."""
from typing import Any, Dict, List, Literal, Optional, Protocol, Sequence, Tuple, TypedDict, TypeVar, Union, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

__version__: str
KEY_TILE: int

class _DLPack(Protocol):
    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> Tuple[Any, Any]: ...

class _ArrayInterface(Protocol):
    @property
    def __array_interface__(self) -> Dict[str, Any]: ...

# Anything that is an array: NumPy's, PyTorch's, or a buffer.
_Array = Union[NDArray[Any], memoryview, _DLPack, _ArrayInterface]
_Numbers = Union[NDArray[Any], Sequence[float]]
_WholeNumbers = Union[NDArray[Any], Sequence[int]]
_Floats = NDArray[Any]  # float32, or float64 where that is computed in
_Gradient = Literal["dq", "dk", "dv", "dsinks", "dbias"]
_Observation = Literal["max_score", "lse", "entropy", "total", "first_token", "mean_distance", "attended", "zeros",
                       "small"]
_Out = TypeVar("_Out")

class _Normalizer(TypedDict, total=False):
    normalizer: Optional[Literal["softmax", "softpick"]]
    extra: Optional[float]
    sinks: Optional[_Numbers]
    eps: Optional[float]

class _Definition(_Normalizer, total=False):
    scale: Optional[float]
    softcap: Optional[float]
    alibi: Optional[_Numbers]
    bias: Optional[_Array]
    causal: Union[Literal["bottom-right", "top-left"], int, None]
    window: Optional[Tuple[Optional[int], Optional[int]]]
    prefix: Optional[int]
    documents: Optional[_WholeNumbers]
    mask: Optional[_Array]
    query_offset: Union[int, _WholeNumbers, None]

class Attention:
    def __init__(self, **definition: Unpack[_Definition]) -> None: ...

class Stats:
    def __init__(self, shift: _Array, mass: _Array, lse: Optional[_Array] = ...) -> None: ...
    @property
    def shift(self) -> _Floats: ...
    @property
    def mass(self) -> _Floats: ...
    @property
    def lse(self) -> _Floats: ...

class Gradients:
    @property
    def dq(self) -> Optional[_Floats]: ...
    @property
    def dk(self) -> Optional[_Floats]: ...
    @property
    def dv(self) -> Optional[_Floats]: ...
    @property
    def dsinks(self) -> Optional[_Floats]: ...
    @property
    def dbias(self) -> Optional[_Floats]: ...

class State:
    def __init__(self, shift: _Array, mass: _Array, out: _Array, **normalizer: Unpack[_Normalizer]) -> None: ...
    @property
    def shift(self) -> NDArray[np.float32]: ...
    @property
    def mass(self) -> NDArray[np.float32]: ...
    @property
    def out(self) -> NDArray[np.float32]: ...
    def merge(self, other: State) -> None: ...
    @overload
    def finish(self, out: Optional[_Array] = ..., lse: Literal[False] = ...) -> Any: ...
    @overload
    def finish(self, out: Optional[_Array] = ..., *, lse: Literal[True]) -> Tuple[Any, NDArray[np.float32]]: ...
    def copy(self) -> State: ...

class _Cache:
    def append(self, k: _Array, v: _Array, sequence: Optional[int] = ...) -> None: ...
    def fetch(self, sequence: int, start: int = ..., stop: Optional[int] = ...) -> Tuple[_Floats, _Floats]: ...
    def truncate(self, sequence: int, length: int) -> None: ...
    @property
    def lengths(self) -> NDArray[np.int64]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def nbytes(self) -> int: ...

class Cache(_Cache):
    def __init__(self, batch: int, kv_heads: int, capacity: int, dim: int, *, value_dim: Optional[int] = ...,
                 dtype: str = ...) -> None: ...

class RingCache(_Cache):
    def __init__(self, batch: int, kv_heads: int, capacity: int, dim: int, *, value_dim: Optional[int] = ...,
                 dtype: str = ...) -> None: ...

class PagedCache(_Cache):
    def __init__(self, batch: int, kv_heads: int, pages: int, page_size: int, dim: int, *,
                 value_dim: Optional[int] = ..., dtype: str = ...) -> None: ...
    def pages(self, sequence: int) -> List[int]: ...
    @property
    def free_pages(self) -> int: ...

_Keys = Union[_Array, _Cache]

@overload
def attend(  # type: ignore[misc]  # None is an _Out too
    q: _Array, k: _Keys, v: Optional[_Array] = ..., *, out: None = ..., stats: Literal[False] = ...,
    lengths: Optional[_WholeNumbers] = ..., threads: Optional[int] = ..., attention: Optional[Attention] = ...,
    **definition: Unpack[_Definition]) -> NDArray[Any]: ...
@overload
def attend(q: _Array, k: _Keys, v: Optional[_Array] = ..., *, out: _Out, stats: Literal[False] = ...,
           lengths: Optional[_WholeNumbers] = ..., threads: Optional[int] = ..., attention: Optional[Attention] = ...,
           **definition: Unpack[_Definition]) -> _Out: ...
@overload
def attend(  # type: ignore[misc]  # None is an _Out too
    q: _Array, k: _Keys, v: Optional[_Array] = ..., *, out: None = ..., stats: Literal[True],
    lengths: Optional[_WholeNumbers] = ..., threads: Optional[int] = ..., attention: Optional[Attention] = ...,
    **definition: Unpack[_Definition]) -> Tuple[NDArray[Any], Stats]: ...
@overload
def attend(q: _Array, k: _Keys, v: Optional[_Array] = ..., *, out: _Out, stats: Literal[True],
           lengths: Optional[_WholeNumbers] = ..., threads: Optional[int] = ..., attention: Optional[Attention] = ...,
           **definition: Unpack[_Definition]) -> Tuple[_Out, Stats]: ...
def attend_partial(q: _Array, k: _Keys, v: Optional[_Array] = ..., *, state: Optional[State] = ...,
                   first_key: int = ..., total_keys: Optional[int] = ..., tile_stride: int = ...,
                   lengths: Optional[_WholeNumbers] = ..., threads: Optional[int] = ..., attention: Optional[Attention] = ...,
                   **definition: Unpack[_Definition]) -> State: ...
def backward(q: _Array, k: _Array, v: _Array, out: _Array, stats: Stats, dout: _Array, *, dlse: Optional[_Array] = ...,
             wants: Sequence[_Gradient] = ..., lengths: Optional[_WholeNumbers] = ..., threads: Optional[int] = ...,
             attention: Optional[Attention] = ..., **definition: Unpack[_Definition]) -> Gradients: ...
def observe(q: _Array, k: _Keys, stats: Stats, *, wants: Sequence[_Observation] = ..., top_k: int = ...,
            small_weight: float = ..., lengths: Optional[_WholeNumbers] = ..., threads: Optional[int] = ...,
            attention: Optional[Attention] = ..., **definition: Unpack[_Definition]) -> Dict[str, NDArray[Any]]: ...
def attention_map(q: _Array, k: _Keys, stats: Stats, *, batch: int = ..., head: int = ..., first_row: int = ...,
                  rows: Optional[int] = ..., lengths: Optional[_WholeNumbers] = ..., threads: Optional[int] = ...,
                  attention: Optional[Attention] = ..., **definition: Unpack[_Definition]) -> NDArray[np.float32]: ...
def merge(a: State, b: State) -> State: ...
def supported() -> Dict[str, List[Tuple[str, str]]]: ...
def isa() -> str: ...
def arch() -> str: ...
