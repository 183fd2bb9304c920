"""The models that the parts of an archive name: shipped ones, the caller's, and the one that the archive holds."""

from __future__ import annotations

from pathlib import Path

from mnistzip.api import model_for
from mnistzip.archive.group_header import CodedPart
from mnistzip.archive.index import Index
from mnistzip.bitstream.container import NAMED_BY_HASH
from mnistzip.errors import MnistzipError, ModelError
from mnistzip.models import registry
from mnistzip.models.registry import Model
from mnistzip.types import Mode


class PartModels:
    """Finds and caches the models of an archive.

    Args:
        index: of the archive.
        model: a custom model of the caller, or None.
        has_default_limits: refuse parts that take longer to decode than is allowed by default.
    """

    def __init__(self, index: Index, model: str | Path | Model | None, has_default_limits: bool) -> None:
        self._index = index
        self._model = model
        self._has_default_limits = has_default_limits
        self._by_fingerprint: dict[tuple[bytes, Mode], Model] = {}
        self._is_embedded_read = False
        self._embedded: Model | MnistzipError | None = None

    def model_of(self, part: CodedPart) -> Model | None:
        """The model that a part names; None if the part is stored.

        Raises:
            ModelError: the model is missing, or its weights differ from those that the group was written with.
            LimitError: the part exceeds the default limits for the model.
        """
        coding = part.coding
        if coding.mode is Mode.STORED:
            return None
        key = coding.fingerprint, coding.mode  # a mode may name a model by a fingerprint of its own
        model = self._by_fingerprint.get(key)
        if model is None:
            model = self._find(coding.model, coding.fingerprint, coding.mode)
            self._by_fingerprint[key] = model
        if self._has_default_limits:
            model.require_default_limit(coding.mode, part.shapes, coding.per_lane)
        return model

    def _find(self, number: int, fingerprint: bytes, mode: Mode) -> Model:
        is_custom = number == NAMED_BY_HASH
        model = self._read_embedded() if is_custom and self._model is None else None
        if model is None or model.fingerprint_for(mode) != fingerprint:
            model = model_for(fingerprint if is_custom else number, self._model)
        if model.fingerprint_for(mode) != fingerprint:
            raise ModelError(
                f"the archive was written with the model {model.name} {fingerprint.hex()}, but the model here is "
                f"{model.fingerprint_for(mode).hex()}"
            )
        return model

    def _read_embedded(self) -> Model | None:
        """The model that the archive holds. It is read once, as the proof that it is exact may take a while."""
        if not self._is_embedded_read:
            try:
                content = self._index.model()
                self._embedded = None if content is None else registry.read_model(content, "in the archive")
            except MnistzipError as error:
                self._embedded = error
            self._is_embedded_read = True
        if isinstance(self._embedded, MnistzipError):
            raise self._embedded.with_traceback(None)  # it is raised for each group, and would collect their tracebacks
        return self._embedded
