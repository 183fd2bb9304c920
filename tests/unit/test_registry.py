from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import mnistzip
from mnistzip import pretrained
from mnistzip.errors import ModelError
from mnistzip.models import registry
from mnistzip.models.latent_prior import CHANNELS, POSITIONS, SYMBOLS
from mnistzip.nn.backward import LayerTape
from mnistzip.nn.layer_base import Layer, LayerSpec, Signal
from mnistzip.nn.layers import LAYER_KINDS
from mnistzip.types import Floats, Integers, Mode

Arrays = dict[str, NDArray[np.generic]]


def unpack(name: str) -> Arrays:
    content = (Path(pretrained.__file__).parent / f"{name}.npz").read_bytes()
    with np.load(io.BytesIO(content)) as file:
        return dict(file)


def pack(arrays: Arrays) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return unpack("classic")


@pytest.fixture(scope="module")
def meta(arrays: Arrays) -> dict[str, object]:
    output: dict[str, object] = json.loads(arrays["meta"].tobytes())
    return output


def with_meta(arrays: Arrays, **changes: object) -> bytes:
    meta = json.loads(arrays["meta"].tobytes()) | changes
    return pack(arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})


@pytest.mark.parametrize("name", registry.SHIPPED)
def test_shipped_models_are_those_of_their_cards(name: str) -> None:
    folder = Path(pretrained.__file__).parent
    import hashlib

    digest = hashlib.sha256((folder / f"{name}.npz").read_bytes()).hexdigest()
    report = json.loads((folder / f"{name}.json").read_text())
    assert report["sha256"] == digest
    assert report["fingerprint"] == registry.shipped(name).fingerprint.hex()
    assert digest in (folder / f"{name}.md").read_text()


def test_ids_of_shipped_models_never_change() -> None:
    numbers = {"mnist": 0, "classic": 1, "mnist-fast": 2, "glyph": 3, "grey": 4, "mnist-micro": 5, "mnist-bitmap": 6}
    assert numbers == registry.SHIPPED
    assert {name: registry.shipped(name).fingerprint.hex() for name in registry.SHIPPED} == {
        "mnist": "fbf156a675eb1d37",
        "classic": "f8d161057cb0519e",
        "mnist-fast": "a7ca3dab0a7bb19b",
        "glyph": "4944a3bf1db645b1",
        "grey": "7314795c1427d0fb",
        "mnist-micro": "277a2ffcf9ab980a",
        "mnist-bitmap": "0aed5300090f4f5c",
    }  # a better model gets a number of its own
    assert registry.shipped("grey").fingerprint_for(Mode.LOSSY).hex() == "0321fae5ce869be1"  # of older archives


def test_fingerprint_is_of_the_content_not_of_the_zip(arrays: Arrays) -> None:
    again = registry.read_model(pack(dict(reversed(arrays.items()))), "again")
    assert again.fingerprint == registry.shipped("classic").fingerprint
    changed = arrays | {"lmbda": arrays["lmbda"] + 1}
    assert registry.read_model(pack(changed), "changed").fingerprint != again.fingerprint


def test_a_custom_model_is_named_by_hash_and_asked_for(tmp_path: Path, arrays: Arrays, digit: NDArray[np.uint8]) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(pack(arrays | {"lmbda": arrays["lmbda"] + 1}))
    file = mnistzip.encode(digit, model=path, effort=0, quality=20)
    fingerprint = registry.find(path).fingerprint
    assert file[3:7] == fingerprint[:4]
    assert mnistzip.decode(file, model=path).shape == digit.shape
    with pytest.raises(ModelError, match=fingerprint[:4].hex()):
        mnistzip.decode(file)
    other = tmp_path / "other.npz"
    other.write_bytes(pack(arrays | {"lmbda": arrays["lmbda"] + 2}))
    with pytest.raises(ModelError, match=r"needs the custom model .* but other is"):
        mnistzip.decode(file, model=other)


def test_a_file_may_name_a_shipped_model_by_its_fingerprint(tmp_path: Path, digits: NDArray[np.uint8]) -> None:
    path = tmp_path / "before-it-shipped.npz"
    path.write_bytes((Path(pretrained.__file__).parent / "classic.npz").read_bytes())
    file = mnistzip.encode(digits[0], model=path, effort=0)
    assert file[2] & 15 == 15
    expected = mnistzip.decode(mnistzip.encode(digits[0], model="classic", effort=0))
    for given in (None, path, "classic", "mnist"):
        assert (mnistzip.decode(file, model=given) == expected).all()
    assert len(mnistzip.Archive(mnistzip.encode_archive(digits[:3], model=path, effort=0))[:]) == 3


@pytest.mark.parametrize("given", [None, 5, b"mnist"])
def test_what_is_no_name_of_a_model_is_refused(given: Any, digit: NDArray[np.uint8]) -> None:
    with pytest.raises(mnistzip.OptionError, match="a model is given as"):
        mnistzip.encode(digit, model=given)
    with pytest.raises(mnistzip.OptionError, match="a model is given as"):
        mnistzip.ArchiveWriter(io.BytesIO(), model=given)


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="no model 'xxx"):
        registry.find("x" * 5000)
    with pytest.raises(ModelError, match=r"no model 'nonsense\.npz'"):
        registry.find("nonsense.npz")
    with pytest.raises(ModelError, match="shipped model 9"):
        mnistzip.decode(bytes.fromhex("cae18932") + bytes(20))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("first.weight", np.zeros((9, 16))),  # floats
        ("first.weight", np.full((9, 16), np.nan)),
        ("first.weight", np.full((9, 16), np.inf, np.float16)),
        ("first.weight", np.zeros((9, 16), np.uint64)),
        ("first.weight", np.zeros((9, 16), bool)),
        ("first.weight", np.asfortranarray(np.zeros((9, 16), np.int8))),
        ("first.place", np.full((1, 1, 16), (1 << 24) + 1, np.int32)),  # no number that float32 holds
        ("first.weight", np.zeros((9, 16), np.int64)),  # wider than the file may hold
        ("first.weight", np.zeros((8, 16), np.int8)),
        ("first.weight", np.zeros(9, np.int8)),
        ("first.weight", np.zeros((9, 0), np.int8)),
        ("first.weight", np.full((9, 16), 32767, np.int16)),  # sums beyond the exact range
        ("first.shift", np.full(16, 31, np.int8)),
        ("first.shift", np.full(16, -1, np.int8)),
        ("first.quality", np.zeros((99, 16), np.int8)),
        ("fine", np.zeros((100, 3), np.int8)),
        ("step", np.full((100, 4), 1 << 22, np.int32)),
        ("lmbda", np.zeros(99, np.int8)),
        ("lmbda", np.full(100, -1, np.int8)),
        ("sigmoid.table", np.zeros(5, np.int16)),
        ("sigmoid.table", np.full(512, 256, np.int16)),  # no grey level
        ("prior.near_weight", np.zeros((SYMBOLS, POSITIONS + 1), np.int8)),
        ("prior.far_weight", np.zeros((5, 5), np.int8)),
        ("prior.skip_weight", np.zeros((SYMBOLS, 4), np.int8)),
        ("prior.head_weight", np.zeros((SYMBOLS, 8, 5), np.int8)),
        ("prior.head_bias", np.zeros((SYMBOLS, 5), np.int8)),
        ("prior.near_bias", np.zeros((100, 3), np.int8)),
        ("prior.far_shift", np.zeros(7, np.int8)),
    ],
)
def test_a_wrong_array_is_refused(arrays: Arrays, key: str, value: NDArray[np.generic]) -> None:
    assert key in arrays
    with pytest.raises(ModelError):
        registry.read_model(pack(arrays | {key: value}), "wrong")


def test_a_prior_that_would_see_the_future_is_refused(arrays: Arrays) -> None:
    near = arrays["prior.near_weight"].copy()
    near[CHANNELS, 0] = 1  # the second place's symbol in the first place's features
    with pytest.raises(ModelError, match="causal"):
        registry.read_model(pack(arrays | {"prior.near_weight": near}), "wrong")


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": None},
        {"version": True},
        {"version": 1.0},
        {"later": 1},
        {"pixels": "no"},
        {"pixels": True},  # without any
        {"symbols": [-31, 31, 0]},
        {"synthesis": [{"op": "upsample", "size": 2}]},
        {"synthesis": [{"op": "conv", "name": "third", "kernel": 3, "to": [0, 1023], "stride": 2}]},
        {"synthesis": [{"op": "conv", "name": 3, "kernel": 3, "to": [0, 1023]}]},
        {"analysis": [{"op": "exec"}]},
        {"analysis": []},
        {"analysis": 7},
        {"synthesis": [{"op": "conv", "name": "first", "kernel": 3, "to": [0, 1 << 30]}]},
        {"synthesis": [{"op": "upsample"}] * 30},
        {"symbols": [-200, 200]},
        {"symbols": [-3, 3]},
        {"fine_shift": 99},
    ],
)
def test_a_wrong_description_is_refused(arrays: Arrays, changes: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        registry.read_model(with_meta(arrays, **changes), "wrong")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"analysis": [{"op": "space_to_depth", "size": 4}]}, "analysis"),  # 7x7, but 16 channels
        ({"analysis": [{"op": "space_to_depth", "size": 2}]}, "analysis"),  # 4 channels, but 14x14
        ({"synthesis": [{"op": "upsample"}] * 2}, "synthesis"),  # an image of 4 channels
        ({"synthesis": [{"op": "depth_to_space", "size": 2}]}, "synthesis"),  # 14x14
        ({"symbols": [-31, 30]}, "prior has 63 values"),
    ],
)
def test_a_model_for_another_latent_is_refused(arrays: Arrays, changes: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        registry.read_model(with_meta(arrays, **changes), "wrong")


@pytest.mark.parametrize("changed", [{"version": (2, 0)}, {"pack": zipfile.ZIP_BZIP2}, {"cut": 1}, {"more": 1}])
def test_arrays_in_other_wrappings_are_refused(arrays: Arrays, changed: dict[str, Any]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", changed.get("pack", zipfile.ZIP_DEFLATED)) as archive:
        for name, array in arrays.items():
            body = io.BytesIO()
            np.lib.format.write_array(body, array, changed.get("version", (1, 0)))
            content = body.getvalue()
            archive.writestr(f"{name}.npy", content[: len(content) - changed.get("cut", 0)] + bytes(changed.get("more", 0)))
    with pytest.raises(ModelError):
        registry.read_model(out.getvalue(), "wrong")


def test_what_a_later_version_may_mean_is_not_passed_over(arrays: Arrays) -> None:
    for more in ("spam", "pixels.spam", "prior.near_gate", "third.stride"):
        with pytest.raises(ModelError, match=r"is unknown|arrays of a pixel model"):
            registry.read_model(pack(arrays | {more: np.zeros(3, np.int8)}), "wrong")
    with_pixels = unpack("glyph")
    with pytest.raises(ModelError, match=r"'pixels\.spam' is unknown"):
        registry.read_model(pack(with_pixels | {"pixels.spam": np.zeros(3, np.int8)}), "wrong")
    meta = json.loads(arrays["meta"].tobytes())
    del meta["analysis"]
    with pytest.raises(ModelError, match="'analysis'"):
        registry.read_model(pack(arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}), "wrong")


@pytest.mark.parametrize("text", ['{"version": 1, "version": 1}', "[1]", '{"version": 1}'.encode("utf-16"), b"\xff{}"])
def test_a_description_that_readers_would_take_in_several_ways_is_refused(arrays: Arrays, text: str | bytes) -> None:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(ModelError, match="damaged"):
        registry.read_model(pack(arrays | {"meta": np.frombuffer(raw, np.uint8)}), "wrong")
    with pytest.raises(ModelError, match="damaged"):
        registry.read_model(pack(arrays | {"meta": arrays["meta"].astype(np.int16)}), "wrong")


def test_arrays_are_low_byte_first_and_there_once(arrays: Arrays) -> None:
    with pytest.raises(ModelError, match="holds >i4"):
        registry.read_model(pack(arrays | {"lmbda": arrays["lmbda"].astype(">i4")}), "wrong")
    out = io.BytesIO(pack(arrays))
    body = io.BytesIO()
    np.save(body, arrays["fine"])
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("fine.npy", body.getvalue())
    with pytest.raises(ModelError, match=r"fine\.npy is in the file twice"):
        registry.read_model(out.getvalue(), "wrong")
    out = io.BytesIO(pack(arrays))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("notes.txt", b"")
    with pytest.raises(ModelError, match=r"notes\.txt is not an array"):
        registry.read_model(out.getvalue(), "wrong")


def test_each_missing_array_is_noticed(arrays: Arrays) -> None:
    for key in arrays:
        rest = {name: value for name, value in arrays.items() if name != key}
        with pytest.raises(ModelError):
            registry.read_model(pack(rest), "wrong")


def test_pickles_are_never_opened(arrays: Arrays) -> None:
    with pytest.raises(ModelError):
        registry.read_model(pack(arrays | {"lmbda": np.array([print], dtype=object)}), "wrong")


def test_an_array_that_asks_for_18_gib_takes_no_memory(arrays: Arrays) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        header = io.BytesIO()
        shape = {"descr": "|i1", "fortran_order": False, "shape": (18 << 30,)}
        np.lib.format.write_array_header_1_0(header, shape)
        archive.writestr("meta.npy", header.getvalue() + b"x")
    with pytest.raises(ModelError):
        registry.read_model(out.getvalue(), "wrong")


def test_a_zip_bomb_is_not_unpacked() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(3):
            body = io.BytesIO()
            np.save(body, np.zeros(30 << 20, np.int8))
            archive.writestr(f"{index}.npy", body.getvalue())
    with pytest.raises(ModelError, match="bytes allowed"):
        registry.read_model(out.getvalue(), "wrong")


def test_a_model_that_would_swell_between_its_layers_is_refused(arrays: Arrays) -> None:
    meta = json.loads(arrays["meta"].tobytes())
    swollen = [{"op": "upsample"}] * 9 + [{"op": "max_pool"}] * 9 + meta["synthesis"]
    with pytest.raises(ModelError, match="numbers an image"):
        registry.read_model(with_meta(arrays, synthesis=swollen), "wrong")
    with pytest.raises(ModelError, match="more than 200 layers"):
        registry.read_model(with_meta(arrays, analysis=[{"op": "max_pool"}] * 201), "wrong")


def test_flipped_bits_give_an_error_or_a_model_of_another_name(arrays: Arrays) -> None:
    content = pack(arrays)
    fingerprint = registry.shipped("classic").fingerprint
    random = np.random.default_rng(11)
    for at in random.integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[at] ^= 1 << random.integers(8)
        try:
            result = registry.read_model(bytes(damaged), "damaged")
        except ModelError:
            continue
        assert result.fingerprint == fingerprint, f"byte {at}"  # only what the zip does not mean anything by


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -100, -1])
def test_a_truncated_model_is_refused(arrays: Arrays, size: int) -> None:
    with pytest.raises(ModelError):
        registry.read_model(pack(arrays)[:size], "wrong")


@dataclass(frozen=True)
class Complement(Layer):
    """A kind of layer that no version has."""

    kind = "complement"

    @classmethod
    def from_spec(cls, spec: LayerSpec) -> Complement:
        return cls()

    def infer(self, signal: Signal) -> Signal:
        return replace(signal, macs=0)

    def forward(self, x: Floats, quality_index: Integers) -> Floats:
        return np.clip(255 - x, 0, 255)

    def backward(self, tape: LayerTape, g: Floats, quality_index: Integers) -> Floats:
        return -g


def test_a_new_kind_of_layer_is_one_class(arrays: Arrays, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    meta = json.loads(arrays["meta"].tobytes())
    content = with_meta(arrays, synthesis=[*meta["synthesis"], {"op": "complement"}])
    with pytest.raises(ModelError, match="unknown layer 'complement'"):
        registry.read_model(content, "new")
    monkeypatch.setitem(LAYER_KINDS, Complement.kind, Complement)
    model, plain = registry.read_model(content, "new"), registry.shipped("classic")
    quality_index = np.full(4, 49)
    y = plain.transforms.analyse(digits[:4], quality_index)
    x_hat, tapes = model.transforms.trace(y, quality_index)
    plain_x_hat, plain_tapes = plain.transforms.trace(y, quality_index)
    assert (model.transforms.synthesize(y, quality_index) == 255 - plain_x_hat).all()
    g = np.ones_like(x_hat)
    slope, plain_slope = model.transforms.back(tapes, g, quality_index), plain.transforms.back(plain_tapes, g, quality_index)
    assert (slope == -plain_slope).all()
    assert slope.any()
