from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from click.testing import CliRunner
from numpy.typing import NDArray

import mnistzip
from mnistzip.cli.main import run
from mnistzip.entropy.cdf import LOGITS_PER_OCTAVE, OCTAVES
from mnistzip.errors import ImageError, ModelError
from mnistzip.models.registry import read_model
from mnistzip.training import rd_bound, recipes, splits
from mnistzip.training.classic import Classic, ClassicConfig
from mnistzip.training.export import export
from mnistzip.training.latent_search import search
from mnistzip.training.muon import Muon, orthogonal
from mnistzip.training.quality_levels import climb, psnr_of
from mnistzip.training.rd_model import Coder
from mnistzip.training.recipes import RECIPES, train
from mnistzip.training.stages import Stage, train_stage, vary
from mnistzip.training.torch_codec import Codec, Config, flatten, qualities
from mnistzip.training.torch_layers import exact_shift, quantize
from mnistzip.training.torch_pixel_model import PixelConfig
from mnistzip.training.trainer import Run, Schedule, StageTrainer
from support.paths import DIGITS

pytestmark = pytest.mark.torch

SMALL = Config(width=12, hidden=6, blocks=1, anchors=3, prior_width=2, prior_hidden=2, symbol_max=5)
QUICK = Schedule(epochs=2, batch=8, rate=2e-3, warm_up=2)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def split() -> splits.Split:
    return splits.load(str(DIGITS))


@pytest.mark.parametrize("kind", ["variable rate", "classic"])
def test_integer_network_equals_its_torch_twin(kind: str, digits: NDArray[np.uint8]) -> None:
    torch.manual_seed(9)
    codec: Codec | Classic
    if kind == "classic":
        codec = Classic(ClassicConfig(prior_width=2, prior_hidden=2, anchors=3))
        codec.observe(torch.from_numpy(digits).unsqueeze(1).float() / 255)
    else:
        codec = Codec(SMALL)
    coder = Coder(codec)
    with torch.no_grad():  # untrained weights, but none of them zero
        for parameter in [*codec.parameters(), *coder.head.parameters()]:
            parameter.add_(torch.randn_like(parameter) * 0.05)
    coder.eval()
    quantize(coder)
    model = read_model(export(coder, qualities()), "twin")
    quality_index = np.arange(len(digits)) * 99 // 63
    level = qualities()[torch.from_numpy(quality_index)]
    with torch.no_grad():
        twin_y = torch.floor(codec.analyse(torch.from_numpy(digits).unsqueeze(1).float(), level) + 0.5).float()
        y = model.transforms.analyse(digits, quality_index)
        assert (y == flatten(twin_y).numpy()).all()
        assert len(np.unique(y)) > 3
        twin_x = codec.synthesize(twin_y, level)[:, 0] * 255
        assert (model.transforms.synthesize(y, quality_index) == torch.round(twin_x).numpy()).all()
        assert torch.equal(torch.round(twin_x) / 255 * 255, twin_x) or (twin_x - torch.round(twin_x)).abs().max() < 1e-4
        logits = torch.round(coder.head(codec.prior.features(flatten(twin_y), level)) * LOGITS_PER_OCTAVE / np.log(2)).numpy()
    behind = np.minimum((logits.max(axis=2, keepdims=True) - logits).astype(int), len(OCTAVES) - 1)
    weight = OCTAVES[behind]
    share = np.take_along_axis(weight, (y + codec.config.symbol_max)[..., None], 2)[..., 0] / weight.sum(axis=2)
    _, freqs = model.prior.intervals(y, quality_index)
    values = 2 * codec.config.symbol_max + 1
    assert np.abs(freqs - 1 - share * (65536 - values)).max() <= 1  # the same logits, to the rounding of one edge


def test_scaling_of_weights_keeps_sums_exact() -> None:
    random = torch.Generator().manual_seed(10)
    weight = torch.randn(20, 300, generator=random) * torch.logspace(-3, 1, 20)[:, None]
    peak, bias = torch.full((300,), 1023.0), torch.rand(20, generator=random)
    shift = exact_shift(weight, peak, bias)

    def worst(bits: torch.Tensor) -> torch.Tensor:
        scale = torch.exp2(bits)[:, None].double()
        return (weight.double() * scale).round().abs() @ peak.double() + (bias.double()[:, None] * scale)[:, 0]

    assert (worst(shift) <= 2**24).all()
    assert (worst(shift + 1) > 0.9 * 2**24).all()


def small_coder(seed: int = 4) -> Coder:
    torch.manual_seed(seed)
    return Coder(Codec(SMALL))


@pytest.mark.parametrize("kind", ["rounded", "searched", "integers"])
def test_a_resumed_run_is_the_uninterrupted_run(kind: str, tmp_path: Path, split: splits.Split) -> None:
    schedule = replace(QUICK, epochs=3, matrix_rate=0.01)
    stage = Stage(kind, schedule, passes=0 if kind == "rounded" else 2, quantized=kind == "integers", changed=0.5)

    def run_in(folder: str, log: Callable[[str], None]) -> tuple[Coder, StageTrainer]:
        coder = small_coder()
        return coder, train_stage(coder, split, stage, Run(tmp_path / folder, 4, log))

    straight, _ = run_in("straight", lambda _: None)

    def stop(line: str) -> None:
        if "epoch 2" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in("stopped", stop)
    resumed, trainer = run_in("stopped", lambda _: None)
    assert trainer.epoch == 3
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert (tmp_path / "stopped" / f"{kind}.csv").read_text().count("\n") == 4


def test_search_lowers_what_images_cost_and_leaves_the_weights_alone(split: splits.Split, tmp_path: Path) -> None:
    coder = small_coder()
    train_stage(coder, split, Stage("rounded", replace(QUICK, epochs=12)), Run(tmp_path, 1))
    coder.eval().zero_grad()
    x = split.train[:20].float() / 255
    level = torch.linspace(0, 0.4, len(x))
    lmbda = coder.codec.config.lmbda(level)
    before = [parameter.clone() for parameter in coder.parameters()]
    start = torch.zeros(len(x), 196)
    _, bits, error = search(coder, x, start, level, lmbda, 0)
    symbols, new_bits, new_error = search(coder, x, start, level, lmbda, 6)
    now, before_search = new_bits + lmbda * new_error, bits + lmbda * error
    assert (now <= before_search).all()
    assert (now < before_search).float().mean() > 0.3
    assert symbols.abs().max() <= SMALL.symbol_max
    assert torch.equal(symbols, symbols.round())
    assert all(torch.equal(one, other) for one, other in zip(before, coder.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in coder.parameters())


def test_gradient_of_the_code_length_is_its_slope_between_neighbours(split: splits.Split) -> None:
    coder = small_coder().eval()
    x, level = split.train[:1].float() / 255, torch.tensor([0.5])
    latent = torch.full((1, 196), 0.3, requires_grad=True)
    bits, _ = coder.rounded(x, latent, level)
    (gradient,) = torch.autograd.grad(bits.sum(), latent)
    last = torch.zeros(1, 196)  # no symbol comes after the last: its gradient is the slope alone
    _, _, likelihood = coder.cost(x, last, level)
    m = SMALL.symbol_max
    slope = (likelihood[0, 195, m] - likelihood[0, 195, m + 1]) / np.log(2)
    assert torch.isclose(gradient[0, 195], slope.detach())


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_leads_from_images_to_a_working_codec(
    name: str, tmp_path: Path, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "pays", lambda _sizes: True)  # so that pixel models this small go into the file
    recipe = RECIPES[name]
    small = {"prior_width": 2, "prior_hidden": 2, "anchors": 3}
    if recipe.autoencoder is None:
        small |= {"width": 12, "hidden": 6, "blocks": 1}
    stages = tuple(replace(stage, schedule=QUICK) for stage in recipe.stages)
    autoencoder = recipe.autoencoder and QUICK
    pixels = recipe.pixels and PixelConfig(ink=4, solid=4, level=4, shade=8, key=2)
    quick = replace(
        recipe,
        config=replace(recipe.config, **small),  # type: ignore[arg-type]
        stages=stages,
        autoencoder=autoencoder,
        pixels=pixels,
        pixel_stages=tuple(replace(stage, schedule=QUICK) for stage in recipe.pixel_stages),
    )
    out = tmp_path / "mine.npz"
    split = splits.load(str(DIGITS))
    report = train(split, {"source": DIGITS.name}, name, out, Run(tmp_path / "run", 3), quick)
    assert report["data"] == {"source": DIGITS.name, "train": 58, "held_out": 6}
    assert json.loads(out.with_suffix(".json").read_text()) == report
    file = mnistzip.encode(digits[0], model=out, effort=0)
    assert mnistzip.decode(file, model=out).shape == (28, 28)
    lossless = mnistzip.encode(digits[0], model=out, lossless=True)
    assert mnistzip.decode(lossless, model=out).tobytes() == digits[0].tobytes()
    assert ("Lossless files of held-out images" in out.with_suffix(".md").read_text()) == (pixels is not None)
    again = train(split, {"source": DIGITS.name}, name, tmp_path / "again.npz", Run(tmp_path / "again", 3), quick)
    assert report["sha256"] in out.with_suffix(".md").read_text()
    assert again["sha256"] == report["sha256"]


def test_chosen_levels_rise_though_the_curve_does_not_and_leave_out_what_is_poor_for_its_size() -> None:
    at = np.linspace(0, 1, 200)[:, None]
    random = np.random.default_rng(3)
    size = 4 + 36 * at + random.normal(0, 0.1, (200, 1)) + random.normal(0, 3, 100) + random.normal(0, 0.1, (200, 100))
    error = 784 * 255**2 / 10 ** (1.8 + 1.4 * np.sqrt(at) + random.normal(0, 0.005, (200, 1))) * random.uniform(0.99, 1.01, 100)
    error[100:108] *= 1.3
    chosen = climb(size, error.astype(np.int64), 60)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, 199, 60)
    assert np.diff(size.mean(axis=1)[chosen]).min() > 0
    assert np.diff(psnr_of(error.astype(np.int64))[chosen]).min() > 0
    assert not np.isin(chosen, np.arange(100, 108)).any()
    falling = climb(size[::-1], error[::-1].astype(np.int64), 5)  # no way up: a way all the same
    assert (np.diff(falling) > 0).all()


def test_training_lowers_its_loss(tmp_path: Path, split: splits.Split) -> None:
    train_stage(small_coder(), split, Stage("rounded", replace(QUICK, epochs=12)), Run(tmp_path, 1))
    rows = (tmp_path / "rounded.csv").read_text().splitlines()
    first, last = (float(row.split(",")[2]) for row in (rows[1], rows[-1]))
    assert last < 0.9 * first


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.npz"
    assert run(["train", str(DIGITS), "-o", str(out), "--recipe", "nonsense"]) == 2
    assert "own, mnist, mnist-fast, mnist-micro, glyph, classic" in capsys.readouterr().err
    out.write_bytes(b"precious")
    assert run(["train", str(DIGITS), "-o", str(out)]) == 1
    assert "-f overwrites it" in capsys.readouterr().err


def test_data_that_cannot_be_trained_on_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels"
    path.write_bytes(bytes.fromhex("00000801 00000002 0102"))
    with pytest.raises(ImageError, match="give an array of shape \\(N, H, W\\)"):
        splits.load(str(path))
    path.write_bytes(bytes.fromhex("00000803 00000002 0000001c 0000001c") + bytes(2 * 784))
    with pytest.raises(ImageError, match="too few"):
        splits.load(str(path))
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ModelError, match=r"pip install 'mnistzip\[train\]'"):
        splits.load("MNIST")


def test_a_data_set_by_name_comes_through_torchvision(monkeypatch: pytest.MonkeyPatch, digits: NDArray[np.uint8]) -> None:
    class VisionDataset:
        pass

    class Toy(VisionDataset):
        def __init__(self, root: Path, train: bool, download: bool) -> None:
            assert train
            assert download
            self.data = torch.from_numpy(digits)

    stand_in = type(sys)("torchvision")
    stand_in.datasets = type("datasets", (), {"VisionDataset": VisionDataset, "Toy": Toy})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", stand_in)
    assert splits.load("Toy").train.shape == (58, 1, 28, 28)
    with pytest.raises(ModelError, match="neither a file nor a data set"):
        splits.load("Nonsense")


def test_muon_steps_along_all_directions_of_a_matrix() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(6, 40) @ torch.diag(torch.logspace(0, -2, 40))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert ((values > 0.6) & (values < 1.3)).all()
    assert torch.linalg.svdvals(orthogonal(matrix.T)).isclose(values, atol=0.02).all()
    weight = torch.nn.Parameter(torch.zeros(6, 4, 3, 3))
    weight.grad = torch.randn_like(weight)
    Muon([weight], lr=0.1).step()
    assert ((weight * weight.grad).sum() < 0).item()


def test_varied_images_stay_images_and_only_a_share_is_varied(split: splits.Split) -> None:
    torch.manual_seed(0)
    x = split.train[:40].float() / 255
    varied = vary(x, 0.5)
    assert torch.equal(varied[20:], x[20:])
    assert (varied[:20] != x[:20]).flatten(1).any(1).all()
    assert torch.allclose(varied * 255, (varied * 255).round(), atol=1e-4)
    assert 0 <= varied.min() <= varied.max() <= 1
    assert ((varied[:20] - x[:20]).square().sum((1, 2, 3)) < x[:20].square().sum((1, 2, 3))).all()
    assert torch.equal(vary(x, 0.0), x)


def test_the_bound_gives_rate_and_quality_of_every_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rd_bound, "BATCH", 29)
    result = CliRunner().invoke(rd_bound.main, [str(DIGITS), "--epochs", "12"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == len(rd_bound.LEVELS)
    assert rows[-1]["bytes"] > rows[0]["bytes"]
    assert rows[-1]["psnr_db"] > 8  # about what black alone has
