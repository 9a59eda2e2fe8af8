# One word a chore. A newcomer needs `make demo` and `make test`.

SOAK_SECONDS ?= 180
PYTHON ?= python3
ORT    := .onnxruntime
BINARY := target/release/mini-omni
MODEL  ?= onnx/mini-omni-small
ASK    ?= tests/fixtures/audio/capital.wav

TEST_VENV   := .venv-test
PARITY_VENV := .venv-parity
TRAIN_VENV  := .venv-train
EVAL_VENV   := .venv-eval
EVAL_WORK   := .eval
TRAIN_WORK  := .train
ITEMS       ?= 60
RECORDED    ?=
BENCH_VENV  := .venv-bench
CLIENTS_VENV := .venv-clients
DIST_VENV   := .venv-dist
RESULTS     := bench-results
SCREENSHOTS := $(CURDIR)/build/page

# llama.cpp as it is on a processor that has AVX2 and no AVX-512.
NARROW := -DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON

# No path of the machine that builds is left in the binary's messages.
CARGO_HOME ?= $(HOME)/.cargo
REMAP      := --remap-path-prefix=$(CARGO_HOME)/registry/src= --remap-path-prefix=$(CURDIR)=.
export RUSTFLAGS := $(strip $(RUSTFLAGS) $(REMAP))
# Seconds of each fuzzer, and the target that the sanitizer needs named.
FUZZ_SECONDS ?= 60
FUZZ_TIMEOUT ?= 5
FUZZERS      := audio manifest tokenizer
HOST       := $(shell rustc -vV | sed -n 's/^host: //p')
# What make dist builds for, and the oldest glibc, which is ONNX Runtime's own.
X86     := x86_64-unknown-linux-gnu
ARM     := aarch64-unknown-linux-gnu
TARGETS ?= $(X86) $(ARM)
GLIBC   := 2.28
# For archives alone: what is built with it, llama.cpp too, leaves out the builder's own instructions, and what was built
# without it is built again.
dist target/%/release/mini-omni: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)

.PHONY: help demo test clients page-test soak parity bench ladder recipe train eval lint lint-live doc shuttle sanitize fuzz fmt onnxruntime release dist machines clean always

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: release ## ask a spoken question, hear the answer in answer.wav
	@echo "question: $(ASK)"
	$(BINARY) ask $(MODEL) $(ASK) --out answer.wav
	@echo "the spoken answer is in answer.wav; ask more: $(BINARY) ask $(MODEL) --text 'Who are you?' --out answer.wav"

test: onnxruntime $(TEST_VENV)/.done release ## everything that needs no torch
	cargo test --release --all-targets
	ORT_DYLIB_PATH="$$(ls $(CURDIR)/$(ORT)/libonnxruntime*.* | head -n 1)" cargo test --release --doc
	for example in answer stream conversations cancel conversation; do cargo run --quiet --release --example $$example || exit 1; done
	$(TEST_VENV)/bin/python -m pytest -q export/tests tests/ci --ignore export/tests/parity

soak: release ## eight people talk with the server while others misuse it; SOAK_SECONDS=3600 for an hour
	SOAK_SECONDS=$(SOAK_SECONDS) cargo test --release --test soak -- --nocapture

clients: release $(CLIENTS_VENV)/.done ## the server, spoken to by clients that nobody here wrote (Python, Node 20)
	$(CLIENTS_VENV)/bin/python -m pytest -q tests/clients
	npm ci --silent --prefix tests/clients/js
	npm test --silent --prefix tests/clients/js

parity: release $(PARITY_VENV)/.done ## against an independent torch implementation, tiny and full size
	$(PARITY_VENV)/bin/python -m pytest -q -s export/tests/parity

page-test: release ## the page of serve in a headless Chromium, a sound file as its microphone (Node 20)
	npm ci --silent --prefix tests/page
	SCREENSHOTS=$(SCREENSHOTS) npm test --silent --prefix tests/page

bench: release $(BENCH_VENV)/.done ## beside torch and llama.cpp in one run: tables and a picture (8 GB of disk)
	$(BENCH_VENV)/bin/python benches/beside.py --out $(RESULTS)

ladder: release $(EVAL_VENV)/.done ## the bundled model by precision, window and kernels: what each costs and is worth; RESUME=1 after a kill
	$(EVAL_VENV)/bin/python benches/ladder.py --out $(RESULTS) $(if $(RESUME),--resume)

recipe: $(PARITY_VENV)/.done ## toy runs of the training recipe (torch)
	$(PARITY_VENV)/bin/python -m pytest -q training/tests

train: $(TRAIN_VENV)/.done ## a model from nothing, in days on a CPU; killed, it goes on (flite, festival, espeak-ng: apt)
	$(TRAIN_VENV)/bin/python -m mini_omni_training --work $(TRAIN_WORK) train

eval: release $(EVAL_VENV)/.done ## the model's figures, by a speech recogniser that judges
	$(EVAL_VENV)/bin/python -m mini_omni_training --work $(EVAL_WORK) ask --clips 0
	$(EVAL_VENV)/bin/python -m mini_omni_training --work $(EVAL_WORK) read-aloud --unseen --hours 0.3
	$(EVAL_VENV)/bin/python -m mini_omni_training --work $(EVAL_WORK) eval --model $(MODEL) --binary $(BINARY) \
		--items $(ITEMS) $(if $(RECORDED),--recorded $(RECORDED))

lint: $(TEST_VENV)/.done ## formatting and warnings, as CI has them
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	$(TEST_VENV)/bin/python -m ruff check export training benches release tests/ci tests/clients tests/machines

lint-live: ## the same of what talks to microphones (ALSA's headers)
	cargo clippy --release --features live -- -D warnings

doc: ## the library's documentation, without a warning
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps

shuttle: ## many orders of the codec queue's threads, by a model checker
	RUSTFLAGS="--cfg shuttle -Cdebuginfo=0" CARGO_TARGET_DIR=target/shuttle cargo test --lib --no-default-features model_check

# Detecting leaks would count what ONNX Runtime keeps for the life of the process.
sanitize: onnxruntime ## the library's tests under AddressSanitizer and overflow checks (nightly Rust)
	RUSTFLAGS="-Zsanitizer=address -Coverflow-checks=on -Cdebug-assertions=on" ASAN_OPTIONS=detect_leaks=0 \
		cargo +nightly test --release --lib --target $(HOST) --target-dir target/sanitize

# An input that panics, takes over FUZZ_TIMEOUT seconds or asks for over 600 MB at once ends it; the seeds are the tests' files.
fuzz: onnxruntime $(TEST_VENV)/.done ## mutated sound, manifests, tokenizers (cargo-fuzz, nightly Rust) and checkpoints
	cargo fuzz --version 2>/dev/null || cargo install --locked cargo-fuzz --version 0.13.2
	for fuzzer in $(FUZZERS); do mkdir -p fuzz/corpus/$$fuzzer; done
	cp tests/fixtures/audio/*.* tests/fixtures/audio/formats/*.* fuzz/corpus/audio/
	for model in tiny-random mini-omni-small; do cp onnx/$$model/manifest.json fuzz/corpus/manifest/$$model.json; done
	cp onnx/tiny-random/tokenizer.json fuzz/corpus/tokenizer/
	for fuzzer in $(FUZZERS); do \
		cargo +nightly fuzz run -O $$fuzzer -- -max_len=65536 -max_total_time=$(FUZZ_SECONDS) -timeout=$(FUZZ_TIMEOUT) -malloc_limit_mb=600 -seed=1 || exit 1; \
	done
	$(TEST_VENV)/bin/python export/tests/fuzz_checkpoint.py --seconds $(FUZZ_SECONDS)

fmt: $(TEST_VENV)/.done ## format the Rust
	cargo fmt

onnxruntime: ## get ONNX Runtime from its PyPI wheel into .onnxruntime
	@$(PYTHON) export/get_onnxruntime.py $(ORT)

release: onnxruntime ## build the binary
	cargo build --release

dist: $(TARGETS:%=target/%/release/mini-omni) ## release archives for Linux on x86-64 and ARM, in build/dist (rustup)
	for target in $(TARGETS); do \
		$(PYTHON) release/pack.py $$target target/$$target/release/mini-omni target/$$target/$(ORT) build/dist || exit 1; \
	done

machines: release target/$(ARM)/release/mini-omni $(TEST_VENV)/.done ## archives in bare roots; the same ids on emulated ARM and older x86 machines (x86-64 Linux, root)
	$(PYTHON) release/pack.py $(X86) $(BINARY) $(ORT) build/machines
	$(PYTHON) release/pack.py $(ARM) target/$(ARM)/release/mini-omni target/$(ARM)/$(ORT) build/machines
	$(TEST_VENV)/bin/python -m pytest -q tests/machines

# Zig is the C compiler and linker of every target, and links against the glibc that is named. CROSS_RUSTC is a compiler
# that has the target's standard library already.
target/%/release/mini-omni: $(DIST_VENV)/.done always
	$(if $(CROSS_RUSTC),,rustup target add $*)
	$(if $(CROSS_RUSTC),RUSTC=$(CROSS_RUSTC)) PATH="$(CURDIR)/$(DIST_VENV)/bin:$$PATH" cargo zigbuild --release --target $*.$(GLIBC)

$(TEST_VENV)/.done: export/pyproject.toml
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/python -m pip install --quiet --editable 'export[test]'
	touch $@

$(PARITY_VENV)/.done: export/pyproject.toml training/pyproject.toml
	$(PYTHON) -m venv $(PARITY_VENV)
	$(PARITY_VENV)/bin/python -m pip install --quiet --editable 'export[test,parity]' --editable 'training[test]'
	touch $@

$(TRAIN_VENV)/.done: training/pyproject.toml export/pyproject.toml
	$(PYTHON) -m venv $(TRAIN_VENV)
	$(TRAIN_VENV)/bin/python -m pip install --quiet --editable export --editable 'training[voices,whisper]'
	touch $@

$(EVAL_VENV)/.done: export/pyproject.toml training/pyproject.toml
	$(PYTHON) -m venv $(EVAL_VENV)
	$(EVAL_VENV)/bin/python -m pip install --quiet --editable export --editable 'training[eval,whisper]'
	touch $@

$(CLIENTS_VENV)/.done: tests/clients/requirements.txt
	$(PYTHON) -m venv $(CLIENTS_VENV)
	$(CLIENTS_VENV)/bin/python -m pip install --quiet -r tests/clients/requirements.txt
	touch $@

$(DIST_VENV)/.done: release/requirements.txt
	$(PYTHON) -m venv $(DIST_VENV)
	$(DIST_VENV)/bin/python -m pip install --quiet -r release/requirements.txt
	touch $@

$(BENCH_VENV)/.done: export/pyproject.toml benches/requirements.txt benches/requirements-llama.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --editable export -r benches/requirements.txt
	$(BENCH_VENV)/bin/python -m pip install --quiet -r benches/requirements-llama.txt \
		|| echo "llama.cpp cannot be built here; the bench goes on without it"
	case $(HOST) in x86_64*) CMAKE_ARGS="$(NARROW)" $(BENCH_VENV)/bin/python -m pip install --quiet --no-cache-dir \
		--target $(BENCH_VENV)/llama-avx2 -r benches/requirements-llama.txt \
		|| echo "llama.cpp without AVX-512 cannot be built here; the bench goes on without it";; esac
	touch $@

clean: ## remove what was built and fetched
	rm -rf target $(ORT) $(TEST_VENV) $(PARITY_VENV) $(TRAIN_VENV) $(EVAL_VENV) $(EVAL_WORK) $(BENCH_VENV) $(CLIENTS_VENV) $(DIST_VENV) build/bench build/ladder build/dist build/machines answer.wav
