"""PyTorch: modules, exported programs, weights in files, and what none of them may do."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
from edgewright.core.errors import DataError, ModelError, TrustError, UsageError
from edgewright.ir.rewrites.fold_bn import FoldBatchNorm
from edgewright.ir.verify import operators
from edgewright.optimizer.ingest.ingest import ingest

torch = pytest.importorskip("torch")

SHAPE = {"x": (1, 3, 8, 8)}
FACTORY = textwrap.dedent(
    """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5)
            self.head = nn.Linear(4, 5)

        def forward(self, x):
            return self.head(self.drop(torch.relu(self.norm(self.conv(x))).mean((2, 3))))

    def net():
        torch.manual_seed(1)
        made = Net()
        made.norm.running_mean.uniform_(-1, 1)
        made.norm.running_var.uniform_(0.5, 2)
        return made

    def number():
        return 3

    def picky(size):
        return Net()
    """
)


class Bomb:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (subprocess.call, (["touch", str(self.canary)],))


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("factories")
    (folder / "edgewright_test_factories.py").write_text(FACTORY)
    sys.path.insert(0, str(folder))
    import edgewright_test_factories

    yield edgewright_test_factories
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def ingested(factory):
    """The module in training mode, as a user leaves it, and what became of it."""
    module = factory.net().train()
    return module, ingest(module, shapes=SHAPE)


@pytest.fixture(scope="module")
def exported(factory, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    program = torch.export.export(
        factory.net().eval(), (torch.randn(2, 3, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, path)
    return path


def test_a_module_keeps_its_batch_norm_and_gets_a_free_batch(ingested):
    module, found = ingested
    assert found.source_format == "torch"
    assert found.parity.ok
    assert found.parity.max_rel < 1e-5
    assert found.model.inputs[0].name == "x"
    assert found.model.inputs[0].shape == (None, 3, 8, 8)
    assert found.model.outputs[0].name == "output"
    expected = {"Conv": 1, "BatchNormalization": 1, "Relu": 1, "GlobalAveragePool": 1, "Reshape": 1, "Gemm": 1}
    assert operators(found.model) == expected
    assert "BatchNormalization" not in operators(FoldBatchNorm().run(found.model).model)
    assert found.versions["torch"] == torch.__version__
    assert module.training
    assert module.norm.training


def test_nothing_of_the_machine_is_in_the_bytes(ingested):
    data = ingested[1].model.to_bytes()
    assert b"File " not in data
    assert b"forward" not in data
    assert sys.prefix.encode() not in data


def test_the_exporter_is_silent_and_leaves_nothing(factory, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ingest(torch.nn.Linear(3, 2), shapes={"x": (1, 3)})
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_two_inputs_and_two_outputs_by_name():
    class Two(torch.nn.Module):
        def forward(self, left, right):
            return {"sum": left + right, "list": [left * 2.0]}

    samples = {"left": np.ones((3, 4), np.float32), "right": np.zeros((3, 4), np.float32)}
    found = ingest(Two(), samples=samples)
    assert [spec.name for spec in found.model.inputs] == ["left", "right"]
    assert [spec.name for spec in found.model.outputs] == ["output_0", "output_1"]
    with pytest.raises(DataError, match=r"unknown input 'rigth'; did you mean 'right'"):
        ingest(Two(), samples={"left": samples["left"], "rigth": samples["right"]})


def test_a_module_that_fixes_its_batch_is_exported_with_one():
    class Fixed(torch.nn.Module):
        def forward(self, x):
            return torch.stack([row * 2 for row in x])

    found = ingest(Fixed(), shapes={"x": (1, 3)})
    assert found.model.inputs[0].shape == (1, 3)
    assert found.parity.n == 4
    assert found.notes == ("the batch is fixed to 1: its code reads the size of the batch",)


def test_training_mode_that_eval_does_not_end_is_refused():
    class Stuck(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.dropout(x, 0.5, training=True)

    class Batch(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(3, track_running_stats=False)

        def forward(self, x):
            return self.norm(x)

    for module in (Stuck(), Batch()):
        with pytest.raises(ModelError, match=r"training mode|depends on the other samples|when training"):
            ingest(module, shapes={"x": (1, 3)})


def test_what_a_module_needs():
    with pytest.raises(ModelError, match=r"does not say what its inputs are; give samples, or a shape"):
        ingest(torch.nn.Linear(3, 2))
    with pytest.raises(ModelError, match=r"fails on inputs of shape 1x7"):
        ingest(torch.nn.Linear(3, 2), shapes={"x": (1, 7)})


def test_a_factory_with_weights(factory, tmp_path):
    from safetensors.torch import save_file

    state = {name: value * 2 if value.is_floating_point() else value for name, value in factory.net().state_dict().items()}
    torch.save(state, tmp_path / "weights.pth")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "checkpoint.pt")
    save_file(state, tmp_path / "weights.safetensors")
    found = [
        ingest("edgewright_test_factories:net", shapes=SHAPE, weights=tmp_path / name)
        for name in ("weights.pth", "checkpoint.pt", "weights.safetensors")
    ]
    assert len({one.model.digest() for one in found}) == 1
    assert len({one.source_digest for one in found}) == 3
    np.testing.assert_array_equal(found[0].model.weights()["head.bias"], state["head.bias"].numpy())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("edgewright_test_factories:nett", r"unknown factory 'nett'; did you mean 'net'"),
        ("edgewright_test_nowhere:net", r"cannot import 'edgewright_test_nowhere'"),
        ("edgewright_test_factories:number", r"makes a int, not a torch.nn.Module"),
        ("edgewright_test_factories:picky", r"fails without arguments"),
    ],
)
def test_factories_that_are_none(factory, text, sentence):
    with pytest.raises((UsageError, ModelError), match=sentence):
        ingest(text, shapes=SHAPE)


def test_weights_that_do_not_fit(factory, tmp_path):
    torch.save({"conv.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "some.pt")
    with pytest.raises(ModelError, match=r"does not fit Net: 'conv.bias' is missing"):
        ingest("edgewright_test_factories:net", shapes=SHAPE, weights=tmp_path / "some.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ModelError, match=r"holds a list, not a state dict"):
        ingest("edgewright_test_factories:net", shapes=SHAPE, weights=tmp_path / "list.pt")
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken!!" + b"\0" * 9)
    with pytest.raises(ModelError, match=r"broken safetensors"):
        ingest("edgewright_test_factories:net", shapes=SHAPE, weights=tmp_path / "broken.safetensors")


def test_weights_that_run_code_do_not(factory, tmp_path, canary):
    torch.save({"conv.weight": Bomb(canary)}, tmp_path / "bomb.pt")
    with pytest.raises(TrustError, match=r"loading it would run code; if you trust its maker, give --trust"):
        ingest("edgewright_test_factories:net", shapes=SHAPE, weights=tmp_path / "bomb.pt")
    assert not canary.exists()


def test_whole_modules_and_torchscript_need_trust(factory, tmp_path):
    torch.save(torch.nn.Linear(3, 2), tmp_path / "whole.pt")
    with pytest.raises(TrustError, match=r"name the factory as package.module:factory"):
        ingest(tmp_path / "whole.pt", shapes={"x": (1, 3)})
    assert operators(ingest(tmp_path / "whole.pt", shapes={"x": (1, 3)}, trust=True).model) == {"Gemm": 1}
    torch.save({"a": torch.zeros(2)}, tmp_path / "state.pt")
    with pytest.raises(ModelError, match=r"holds a dict and not how the model computes"):
        ingest(tmp_path / "state.pt")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        for name in ("script/data.pkl", "script/code/__torch__.py", "script/constants.pkl"):
            archive.writestr(name, b"")
    with pytest.raises(TrustError, match=r"is TorchScript, which is code; save the model with torch.export.save"):
        ingest(tmp_path / "script.pt")


def test_an_exported_program(exported, factory):
    found = ingest(exported)
    assert found.source_format == "pt2"
    assert found.parity.max_rel < 1e-5
    assert found.model.inputs[0].shape == (None, 3, 8, 8)
    assert "BatchNormalization" in operators(found.model)
    with pytest.raises(UsageError, match=r"weights go with package.module:factory"):
        ingest(exported, weights="x.pt")


def rewritten(source, target, change):
    """A copy of an archive, each member through `change(name, data)`, which gives the members that replace it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            for made, data in change(name, old.read(name)):
                new.writestr(made, data)
    return target


def graph_with(**replacements):
    def change(name, data):
        if "/models/" not in name:
            return [(name, data)]
        text = data.decode()
        for old, new in replacements.values():
            assert old in text
            text = text.replace(old, new, 1)
        return [(name, text.encode())]

    return change


def test_archives_that_want_to_run_code_do_not(exported, tmp_path, canary):
    bomb = pickle.dumps(Bomb(canary))
    torch_bomb = io.BytesIO()
    torch.save(Bomb(canary), torch_bomb)

    def samples(name, data):
        return [(name, torch_bomb.getvalue() if "sample_inputs" in name else data)]

    def extra(name, data):
        return (
            [(name, data), (name.split("/")[0] + "/data/aotinductor/m/run.so", b"\x7fELF")]
            if "archive_format" in name
            else [(name, data)]
        )

    def legacy(name, data):
        return (
            [(name, data), (name.split("/")[0] + "/data/weights/model.pt", bomb)]
            if "archive_format" in name
            else [(name, data)]
        )

    def pickled(name, data):
        if not name.endswith("_weights_config.json"):
            return [(name, data)]
        config = json.loads(data)
        next(iter(config["config"].values()))["use_pickle"] = True
        return [(name, json.dumps(config).encode())]

    with zipfile.ZipFile(exported) as archive:
        graph = json.loads(next(archive.read(name) for name in archive.namelist() if "/models/" in name))
    target = next(node["target"] for node in graph["graph_module"]["graph"]["nodes"])
    text = json.dumps(graph)
    size = text[text.index('"expr_str": "') + 13 :].split('"', 1)[0]
    attacks = {
        "its sample inputs are more than tensors": samples,
        "it holds 'data/aotinductor/m/run.so'": extra,
        "it holds 'data/weights/model.pt'": legacy,
        "lists a pickled object": pickled,
        "its graph calls 'torch.os.system'": graph_with(target=(f'"{target}"', '"torch.os.system"')),
        "a size is": graph_with(size=(f'"{size}"', f"\"__import__('os').system('touch {canary}')\"")),
    }
    for reason, change in attacks.items():
        path = rewritten(exported, tmp_path / "hostile.pt2", change)
        with pytest.raises(TrustError, match=reason):
            ingest(path)
        assert not canary.exists()


def test_a_broken_archive(exported, tmp_path):
    path = rewritten(exported, tmp_path / "broken.pt2", lambda name, data: [(name, b"" if "/models/" in name else data)])
    with pytest.raises(ModelError, match=r"is a broken archive|torch cannot load"):
        ingest(path)


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import edgewright_test_factories as factories
from edgewright.optimizer.ingest.ingest import ingest
print(ingest(factories.net(), shapes={"x": (1, 3, 8, 8)}).model.digest())
"""


def test_another_process_makes_the_same_bytes(factory, ingested):
    folder = factory.__file__.rsplit("/", 1)[0]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "5"}
    )
    assert done.stdout.strip() == ingested[1].model.digest()
