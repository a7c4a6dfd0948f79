"""What the adapter for pythae says before anything of a folder is loaded; none of it needs pythae."""

import math
from pathlib import Path

import pytest
import torch

from tests.adapters.folders import folder
from tests.compositions import cell, composition
from vaebench.adapters.pythae import adapt, logits_of, mistakes
from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.engines import work
from vaebench.engines.planning import model_fingerprints
from vaebench.engines.worker import describe
from vaebench.models.distributions import IndependentBernoulli
from vaebench.models.foreign import ForeignModelError
from vaebench.project import UnknownName, evaluate_reference
from vaebench.suite import trainers

DIGITS = "digits/static-binary"
LIBRARIES = load_catalog().libraries


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    monkeypatch.setattr(trainers, "find_spec", lambda package: object())


def said(path: Path, dataset: str = DIGITS, trust: bool = False) -> str:
    (line,) = mistakes(path, dataset, trust)
    assert "\n" not in line
    return line


def test_a_sound_folder_has_no_mistake(tmp_path):
    assert mistakes(folder(tmp_path), DIGITS, False) == []


@pytest.mark.parametrize("name", ["VAEGANConfig", "HVAEConfig", "VAEE", "", 3, None])
def test_a_class_that_is_not_read_is_refused_with_those_that_are(tmp_path, name):
    line = said(folder(tmp_path, name=name))
    assert "is none of the classes that the adapter for pythae reads" in line
    assert "VAE, BetaVAE, IWAE" in line
    assert name != "VAEE" or "(did you mean 'VAE'?)" in line


def test_a_model_of_another_class_is_refused_in_python_too():
    with pytest.raises(ForeignModelError, match="Linear is none of the classes that the adapter for pythae reads"):
        adapt(torch.nn.Linear(2, 2))


def test_a_class_that_only_bears_the_name_is_refused():
    with pytest.raises(ForeignModelError, match="none of the classes"):
        adapt(type("VAE", (), {})())


def test_pickled_networks_need_trust(tmp_path):
    path = folder(tmp_path, uses_default_encoder=False)
    assert "pickled in encoder.pkl" in said(path)
    assert "--trust" in said(path)
    assert mistakes(path, DIGITS, True) == []


def test_what_is_no_folder_of_pythae_is_refused(tmp_path):
    assert "no such folder" in said(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    assert "is a file; name the folder" in said(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "is no saved model of pythae (model_config.json, model.pt missing)" in said(tmp_path / "empty")


def test_a_training_folder_names_the_model_in_it(tmp_path):
    inside = folder(tmp_path / "VAE_training" / "final_model")
    assert f"did you mean {str(inside)!r}?" in said(tmp_path / "VAE_training")


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_a_broken_configuration_is_told_in_one_line(tmp_path, text):
    (folder(tmp_path) / "model_config.json").write_text(text)
    assert "model_config.json" in said(tmp_path)


def test_a_configuration_that_is_no_text_is_told_in_one_line(tmp_path):
    (folder(tmp_path) / "model_config.json").write_bytes(b"\xff\xfe\x00")
    assert "model_config.json" in said(tmp_path)


@pytest.mark.parametrize("shape", [[1, 28, 28], "8x8", None, [1, "8", 8]])
def test_images_of_another_size_are_refused(tmp_path, shape):
    assert "input_dim" in said(folder(tmp_path, input_dim=shape)) or "64 pixels" in said(tmp_path)


@pytest.mark.parametrize(
    ("loss", "dataset", "fitting"),
    [
        ("bce", "digits/grey", "digits/binary or digits/static-binary or digits/threshold"),
        ("mse", DIGITS, "digits/grey or digits/dequantised"),
    ],
)
def test_a_view_of_the_other_kind_of_pixels_is_refused_with_those_that_fit(tmp_path, loss, dataset, fitting):
    line = said(folder(tmp_path, reconstruction_loss=loss), dataset)
    assert f"reconstruction_loss {loss!r} makes p(x|z)" in line
    assert line.endswith(f"; score it on {fitting}")
    assert mistakes(tmp_path, fitting.split(" or ")[0], False) == []


@pytest.mark.parametrize("reference", ["pythae", "pythae:"])
def test_a_library_without_a_folder_is_told_what_to_give(reference):
    with pytest.raises(UnknownName, match=f"{reference} names no folder: give pythae:FOLDER"):
        evaluate_reference(reference, DIGITS)


def test_a_folder_without_its_library_is_told_who_might_have_saved_it(tmp_path):
    path = folder(tmp_path / "model")
    with pytest.raises(UnknownName) as refused:
        evaluate_reference(str(path), DIGITS)
    (line,) = str(refused.value).splitlines()
    assert f"is a folder: give pythae:{path} if that is who saved it" in line


def test_every_mistake_of_a_command_is_told_at_once(tmp_path):
    path = folder(tmp_path, name="HVAEConfig", uses_default_decoder=False)
    with pytest.raises(UnknownName) as refused:
        evaluate_reference(f"pythae:{path}", DIGITS, ["elbow"], state=tmp_path / "model.safetensors")
    lines = str(refused.value).splitlines()
    assert len(lines) == 4
    for words in ("none of the classes", "decoder.pkl", "brings its own parameters", "'elbow' is no metric"):
        assert sum(words in line for line in lines) == 1, words


def test_a_library_that_is_not_installed_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(trainers, "find_spec", lambda package: None)
    advice = "pythae is not installed: pip install 'vaebench[pythae]'"
    assert said(folder(tmp_path)) == advice
    foreign = cell(source=DIGITS, choices=composition(trainer="pythae"))
    with pytest.raises(ForeignModelError) as refused:
        work.trainer_of(foreign)
    assert describe(refused.value) == f"ForeignModelError: {advice}, then run again with --retry-failed"
    assert work.trainer_of(cell(source=DIGITS)) is work.fit


def test_the_functions_that_the_catalog_names_exist():
    for library in LIBRARIES.values():
        assert callable(implementation(library.examines))
        assert callable(implementation(library.loads))
        module = library.trains.partition(":")[0].rpartition(".")[2]
        assert (Path(work.__file__).parents[1] / "adapters" / f"{module}.py").exists()


def test_the_sources_of_the_adapter_are_part_of_what_makes_a_foreign_cell_and_of_no_other():
    assert "adapters" in model_fingerprints(cell(source=DIGITS, choices=composition(trainer="pythae")))
    assert "adapters" not in model_fingerprints(cell(source=DIGITS))


def test_means_as_logits_give_the_binary_cross_entropy_that_pythae_prints_also_where_float32_has_no_digits_left():
    means = torch.tensor([0.0, 1e-40, 1e-7, 0.3, 0.5, 1 - 6e-8, 1.0])
    for x in (torch.zeros(7), torch.ones(7)):
        printed = torch.nn.functional.binary_cross_entropy(means, x, reduction="none")
        ours = -IndependentBernoulli(logits_of(means).unsqueeze(-1)).log_prob(x.unsqueeze(-1))
        assert torch.allclose(ours, printed, rtol=1e-6, atol=2e-6)
    both = torch.nn.functional.logsigmoid(torch.stack([logits_of(means), -logits_of(means)])).exp().sum(0)
    assert both.tolist() == pytest.approx([1.0] * 7, rel=1e-6)
    assert math.isfinite(float(logits_of(torch.tensor(1.0))))
