from __future__ import annotations

import dataclasses

import pytest
from edgewright.core.errors import ProfileError
from edgewright.device_profiles import detect, facts, loader
from edgewright.runtimes import registry
from hypothesis import given
from hypothesis import strategies as st

GOOD = loader.to_toml(loader.load("intel-n100"))
EXPECTED = {"arm64-linux", "intel-n100", "raspberry-pi-4b", "raspberry-pi-5", "x86-64-avx2", "x86-64-vnni"}


def test_the_shipped_profiles_are_there_and_named_after_their_files():
    assert set(loader.known()) == EXPECTED
    for name in loader.known():
        assert loader.load(name).name == name


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_fact_of_a_shipped_profile_has_a_source(name):
    profile = loader.load(name)
    assert set(profile.sources) >= {*facts.REQUIRED, "channel_align"}
    assert all(len(source) > 5 for source in profile.sources.values())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_text_form_round_trips(name):
    profile = loader.load(name)
    assert loader.parse(loader.to_toml(profile).encode(), "text") == profile


def test_runtimes_of_profiles_are_those_of_the_registry():
    assert facts.RUNTIMES == registry.NAMES


def test_saturation_follows_the_instruction_set():
    saturates = {name for name in EXPECTED if loader.load(name).has_saturating_products}
    assert saturates == {"x86-64-avx2"}


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(ProfileError, match="did you mean 'raspberry-pi-4b'"):
        loader.load("raspbery-pi-4")


def test_a_path_is_read_from_disk(tmp_path):
    file = tmp_path / "board.toml"
    file.write_text(GOOD)
    assert loader.load(str(file)) == loader.load("intel-n100")
    assert loader.load(file) == loader.validate(file)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = { value = "cpu"', 'kind = { value = "microcontroller"', "no runtime for microcontrollers exists yet"),
        ('kind = { value = "cpu"', 'kind = { value = "accelerator"', "no runtime for accelerators exists yet"),
        ('kind = { value = "cpu"', 'kind = { value = "toaster"', "unknown kind 'toaster'"),
        ('arch = { value = "x86_64"', 'arch = { value = "riscv64"', "unknown arch"),
        ("cores = { value = 4", "cores = { value = 0", "cores must be a whole number"),
        ("cores = { value = 4", "cores = { value = true", "cores must be a whole number"),
        ("cores = { value = 4", 'cores = { value = "4"', "cores must be a whole number"),
        ("threads = { value = 4", "threads = { value = 5", "more than the 4 cores"),
        ('"avx_vnni"', '"avx_vni"', "did you mean 'avx_vnni'"),
        ('"avx_vnni"', '"avx2"', "twice"),
        ('"litert"', '"tflite"', "unknown runtime"),
        ('"litert"', "7", "unknown runtime"),
        ('runtimes = { value = ["onnxruntime", "openvino", "litert"]', "runtimes = { value = []", "at least one"),
        ("cores = {", "coers = {", "did you mean 'cores'"),
        ('title = "', 'title = "\\n', "one line of text"),
        ('name = "intel-n100"\n', "", "'name' is missing"),
        ("ram_bytes = { value = 8589934592", "ram_bytes = { value = nan", "ram_bytes must be"),
        (', source = "uname -m on Linux" }', " }", "with its source"),
        ('source = "uname -m on Linux"', 'source = ""', "the source of arch"),
        (
            'title = "',
            'price_per_hour = { value = -1, source = "the bill" }\ntitle = "',
            "price_per_hour must be a number from 0",
        ),
        ('title = "', 'power_w = { value = nan, source = "a meter" }\ntitle = "', "power_w must be a number from 0"),
        ('title = "', 'power_w = { value = true, source = "a meter" }\ntitle = "', "power_w must be a number from 0"),
        ("[", "[[", "not TOML"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(old, new, said):
    assert old in GOOD
    with pytest.raises(ProfileError, match=said.replace("[", r"\[")) as caught:
        loader.parse(GOOD.replace(old, new, 1).encode(), "board.toml")
    message = str(caught.value)
    assert message.startswith("board.toml")
    assert "\n" not in message
    assert message.endswith((".", "?"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"\x00" * 100,
        b"a = " + b"[" * 5000,
        b'name = "x"',
        b"kind = 1979-05-27T07:32:00Z",
        b"[isa]\nvalue = 1",
    ],
    ids=["empty", "utf16", "zeros", "nested", "short", "date", "table"],
)
def test_hostile_text_is_refused(data):
    with pytest.raises(ProfileError) as caught:
        loader.parse(data, "hostile.toml")
    assert len(str(caught.value)) < 500


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_nothing_else_happens(data):
    with pytest.raises(ProfileError):
        loader.parse(data, "random.toml")


def test_files_that_are_missing_too_large_or_folders_are_refused(tmp_path):
    with pytest.raises(ProfileError, match="there is no profile file"):
        loader.validate(tmp_path / "none.toml")
    with pytest.raises(ProfileError, match="there is no profile file"):
        loader.validate(tmp_path)
    large = tmp_path / "large.toml"
    large.write_text(GOOD + "#" * (1 << 17))
    with pytest.raises(ProfileError, match="not a device profile"):
        loader.validate(large)
    with pytest.raises(ProfileError):
        loader.validate("bad\0name.toml")


def test_detect_writes_a_profile_that_validate_accepts(tmp_path):
    profile = detect.detect()
    assert profile == detect.detect()
    file = tmp_path / "here.toml"
    file.write_text(loader.to_toml(profile))
    assert loader.validate(file) == profile


PI_5 = """processor : 0
Features : fp asimd evtstrm aes crc32 atomics fphp asimdhp asimdrdm asimddp
CPU implementer : 0x41
CPU part : 0xd0b

processor : 1
Features : fp asimd evtstrm aes crc32 atomics fphp asimdhp asimdrdm
CPU implementer : 0x41
CPU part : 0xd0b
"""


def test_cpuinfo_of_arm_gives_the_core_and_what_all_cores_have():
    cpu = detect.parse_cpuinfo(PI_5, "aarch64")
    assert cpu.model == "Cortex-A76"
    assert "asimdhp" in cpu.flags
    assert "asimddp" not in cpu.flags


def test_cpuinfo_of_an_unknown_core_or_nothing_at_all():
    assert detect.parse_cpuinfo("CPU implementer : 0x61\nCPU part : 0x022\n", "aarch64").model == "implementer 0x61 part 0x022"
    assert detect.parse_cpuinfo("", "x86_64") == detect.Cpu("x86_64", "unknown", frozenset())


def test_machines_without_a_runtime_or_flags_are_refused(monkeypatch):
    monkeypatch.setattr(detect, "host_cpu", lambda: detect.Cpu("riscv64", "x", frozenset()))
    with pytest.raises(ProfileError, match="riscv64"):
        detect.detect()
    monkeypatch.setattr(detect, "host_cpu", lambda: detect.Cpu("x86_64", "x", frozenset({"fpu"})))
    with pytest.raises(ProfileError, match="by hand"):
        detect.detect()


def test_quotes_and_backslashes_survive():
    profile = dataclasses.replace(loader.load("intel-n100"), title='a "b" \\ c')
    assert loader.parse(loader.to_toml(profile).encode(), "text").title == 'a "b" \\ c'
