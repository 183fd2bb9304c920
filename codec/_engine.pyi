"""The extension that setup.py builds from ``engine/``. It is optional. Arrays are contiguous arrays of numpy."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

class Model:
    def __new__(cls, prepared: bytes | memoryview, instructions: str | None = None) -> Model: ...
    def instructions(self) -> str: ...
    def first_latents(self, x: Array, inside: Array, quality_index: Array, y: Array, /) -> None: ...
    def refine(self, x: Array, inside: Array, quality_index: Array, effort: int, y: Array, /) -> None: ...
    def refine_to_budget(
        self, x: Array, inside: Array, quality_index: Array, effort: int, limit: Array, y: Array, /
    ) -> None: ...
    def latent_symbols(self, y: Array, quality_index: Array, start: Array, freq_less_one: Array, /) -> None: ...
    def synthesize(self, y: Array, quality_index: Array, x: Array, /) -> None: ...
    def decode_latents(
        self, coded: Sequence[bytes], quality_index: Array, counts: Array, interleaved: bool, y: Array, finals: Array, /
    ) -> None: ...
    def pixel_symbols(
        self, x: Array, inside: Array, max_error: int, counts: Array, turn: Array, start: Array, freq_less_one: Array, /
    ) -> int: ...
    def decode_pixels(
        self,
        coded: Sequence[bytes],
        inside: Array,
        counts: Array,
        max_error: int,
        preview: bool,
        x: Array,
        possible: Array,
        finals: Array,
        /,
    ) -> None: ...
    def analyse_images(self, x: Array, images: int, height: int, width: int, quality_index: int, y: Array, /) -> None: ...
    def refine_image(
        self, x: Array, height: int, width: int, quality_index: int, effort: int, lmbda: int, y: Array, /
    ) -> None: ...
    def grey_symbols(self, rows: int, columns: int, quality_index: int, /) -> int: ...
    def image_symbols(
        self,
        y: Array,
        images: int,
        rows: int,
        columns: int,
        quality_index: int,
        start: Array,
        freq_less_one: Array,
        /,
    ) -> None: ...
    def synthesize_images(self, y: Array, images: int, height: int, width: int, quality_index: int, x: Array, /) -> None: ...
    def decode_images(
        self, coded: Sequence[bytes], quality_index: int, counts: Array, shapes: Array, y: Array, finals: Array, /
    ) -> None: ...
    def image_pixel_symbols(
        self,
        x: Array,
        images: int,
        height: int,
        width: int,
        max_error: int,
        start: Array,
        freq_less_one: Array,
        /,
    ) -> None: ...
    def decode_pixel_images(
        self, coded: Sequence[bytes], max_error: int, counts: Array, shapes: Array, x: Array, finals: Array, /
    ) -> None: ...

def abi() -> str: ...
def instructions() -> list[str]: ...
def encode_latents(
    start: Array, freq_less_one: Array, counts: Array, checks: Array, check_bits: int, interleaved: bool, /
) -> list[bytes]: ...
def encode_streams(start: Array, freq_less_one: Array, counts: Array, checks: Array, check_bits: int, /) -> list[bytes]: ...
def encode_pixels(
    symbols: Array, turn: Array, start: Array, freq_less_one: Array, counts: Array, checks: Array, /
) -> list[bytes]: ...
