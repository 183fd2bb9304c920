"""Engines: who computes the networks of a model.

A model file is read and checked once, into the reference networks of numpy: :class:`~mnistzip.models.transforms.Transforms`,
:class:`~mnistzip.models.latent_prior.Prior` and :class:`~mnistzip.models.pixel.pixel_model.PixelModel`. An engine may put its
own subclasses in their place. These override the methods that it computes and inherit the rest:

=============== ==================================== =================================================
reference       an engine may override               what stays with numpy
=============== ==================================== =================================================
``Transforms``  ``analyse``, ``synthesize``          ``trace``, ``back``: the search of higher efforts
``Prior``       ``intervals``, ``decode``            ``frequencies``, ``back``: the same
``PixelModel``  ``intervals``, ``decode``
=============== ==================================== =================================================

Every engine must return the same integers as the reference. All sums are exact, so this does not limit how it computes them.
Nothing above a :class:`~mnistzip.models.model.Model` knows which engine runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mnistzip.models.latent_prior import Prior
from mnistzip.models.transforms import Transforms

if TYPE_CHECKING:
    from mnistzip.models.pixel.pixel_model import PixelModel


class Engine(Protocol):
    """Takes checked networks and returns networks with equal results. It is hashable: models are cached by engine."""

    def transforms(self, reference: Transforms) -> Transforms:
        """Analysis and synthesis."""

    def prior(self, reference: Prior) -> Prior:
        """The entropy model of the latent."""

    def pixel_model(self, reference: PixelModel) -> PixelModel:
        """The model of lossless files."""

    def __hash__(self) -> int: ...


class NumpyEngine:
    """The reference itself."""

    def transforms(self, reference: Transforms) -> Transforms:
        return reference

    def prior(self, reference: Prior) -> Prior:
        return reference

    def pixel_model(self, reference: PixelModel) -> PixelModel:
        return reference


NUMPY = NumpyEngine()


@dataclass
class DefaultEngine:
    """The engine of models that are loaded without naming one. It may change at any time: loaded models keep theirs."""

    engine: Engine


DEFAULT = DefaultEngine(NUMPY)
