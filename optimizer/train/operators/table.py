"""The table of operators that the interpreter knows."""

from __future__ import annotations

from collections.abc import Mapping

from .activation import ACTIVATIONS
from .arithmetic import ARITHMETIC
from .convolution import CONVOLUTIONS
from .indexing import INDEXING
from .layout import LAYOUTS
from .matrix import MATRICES
from .normalization import NORMALIZATIONS
from .pooling import POOLS
from .quantization import QUANTIZATION
from .reading import Operator
from .recurrent import RECURRENT
from .reduction import REDUCTIONS
from .resize import RESIZE

OPERATORS: Mapping[str, Operator] = {
    **ACTIVATIONS,
    **ARITHMETIC,
    **CONVOLUTIONS,
    **INDEXING,
    **LAYOUTS,
    **MATRICES,
    **NORMALIZATIONS,
    **POOLS,
    **QUANTIZATION,
    **RECURRENT,
    **REDUCTIONS,
    **RESIZE,
}
