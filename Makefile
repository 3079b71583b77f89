# The two commands a newcomer needs are `make demo` and `make test`.
SWIFT ?= swift

.PHONY: help demo build test test-clients test-api test-lm-eval test-metrics lint format sanitize arm fuzz soak compare rates clean

help:
	@echo 'make demo      build Hearth, fetch a small model, teach it the help desk in Examples/, show what it learned'
	@echo 'make test      every test (needs the package registries, nothing else)'
	@echo 'make test-clients  OpenAI'"'"'s, Ollama'"'"'s and Anthropic'"'"'s Python clients against a running server'
	@echo 'make test-lm-eval  tasks of lm-evaluation-harness through the server, and the same by hearth score (Python)'
	@echo 'make test-metrics  a server'"'"'s figures and the alert rules, judged by promtool'
	@echo 'make test-api  requests made up from Docs/openapi.json against a running server (Python)'
	@echo 'make build     the command line tool, in .build/release/hearth'
	@echo 'make lint      formatting, import rules, file sizes'
	@echo 'make sanitize  what reads bytes from files, under the address and undefined-behaviour sanitizers; the thread pool'
	@echo 'make arm       the kernels on emulated AArch64 processors, to the bit those of this machine (see Docs/arm.md)'
	@echo 'make fuzz      damaged files for ten minutes instead of seconds'
	@echo 'make soak      two hundred kills of a run instead of ten, each resumed and compared; twenty thousand'
	@echo '               requests in random company instead of one thousand, each compared with itself alone'
	@echo 'make test-full-disk  a checkpoint and a server on a file system that is full (needs root, to make one)'
	@echo 'make compare   logits, text, training and exports against the peers (Python; see Docs/accuracy.md)'
	@echo 'make test-mpi  training by several processes and hosts over MPI (installs Open MPI; hosts need root)'
	@echo 'make chitchat  fine-tuning on conversations between people, with and without replay (Python)'
	@echo 'make bench-training  fine-tuning beside PyTorch and PEFT (Python; see Docs/performance.md)'
	@echo 'make bench-serving  the server under load: beside llama-server, overloaded, with clients that leave; make soak-serving'
	@echo '               for an hour (Python; see Docs/serving.md)'
	@echo 'make bench-peers  speed and memory beside llama.cpp (Python; see Docs/performance.md)'
	@echo 'make rates     what the kernels reach of what this machine can do'

demo:
	@Scripts/demo.sh

build:
	$(SWIFT) build -c release --product hearth

test:
	@Scripts/test.sh

test-clients:
	@Scripts/test-clients.sh

test-api: build
	@Scripts/test-api.sh

test-metrics: build
	@Scripts/test-metrics.sh

lint:
	@Scripts/lint.sh

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

arm:
	@Scripts/arm.sh $(if $(QUICK),quick)

# C code that reads bytes from files, under the address and undefined-behaviour sanitizers, and the pool of threads under the
# thread sanitizer, whose runtime wants the dispatch library that comes with Swift.
SWIFT_LIBRARIES = $(shell clang -print-resource-dir)/../../swift/linux
SANITIZE = -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
sanitize:
	@mkdir -p .build
	clang -std=c17 -g -O1 -Wall -Wextra -ffp-contract=off -fno-math-errno -fuse-ld=lld $(SANITIZE) \
	  Tests/C/formats_sanitize.c Sources/CKernels/formats.c Sources/CKernels/formats/*.c \
	  Sources/CKernels/isa.c -o .build/formats_sanitize
	.build/formats_sanitize
	clang -std=c17 -g -O1 -Wall -Wextra -fsanitize=thread -fuse-ld=lld Tests/C/threads_sanitize.c \
	  Tests/C/kernels/check.c Tests/C/kernels/threads.c Sources/CKernels/threads.c Sources/CKernels/threads/available.c \
	  Sources/CKernels/isa.c -L$(SWIFT_LIBRARIES) -ldispatch -lBlocksRuntime -Wl,-rpath,$(SWIFT_LIBRARIES) -lpthread \
	  -o .build/threads_sanitize
	.build/threads_sanitize

# Against the peers. PYTHON=... takes a Python that has what Scripts/requirements-compare.txt lists; by default a
# virtual environment in .build gets it. Each comparison is also a target: make compare-logits, ...
COMPARED = tokenizers templates logits beams training exports fixtures
ifndef PYTHON
PYTHON = .build/compare/bin/python
PEERS = .build/compare/ready
endif
HEARTH = .build/release/hearth
.PHONY: $(COMPARED:%=compare-%)
compare: $(COMPARED:%=compare-%)

.build/compare/ready: Scripts/requirements-compare.txt
	python3 -m venv --clear .build/compare
	CMAKE_ARGS=-DGGML_NATIVE=ON .build/compare/bin/python -m pip install --quiet --requirement $<
	touch $@

compare-model: build
	@$(HEARTH) show smollm2 >/dev/null 2>&1 || $(HEARTH) pull smollm2
.PHONY: compare-model

compare-tokenizers: $(PEERS) compare-model
	$(PYTHON) Scripts/compare-tokenizers.py smollm2 --hearth $(HEARTH)

compare-logits compare-beams compare-training compare-exports: compare-%: $(PEERS) compare-model
	$(PYTHON) Scripts/compare-$*.py

compare-templates: $(PEERS) .build/compare-templates
	$(PYTHON) Scripts/compare-templates.py .build/compare-templates

# The templates of some 70 models come with llama.cpp's source package.
.build/compare-templates: $(PEERS)
	rm -rf $@ $@.source && mkdir -p $@.source
	$(PYTHON) -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest $@.source \
	  `grep '^llama-cpp-python' Scripts/requirements-compare.txt`
	tar -xzf $@.source/llama_cpp_python-*.tar.gz -C $@.source
	mv $@.source/llama_cpp_python-*/vendor/llama.cpp/models/templates $@
	rm -rf $@.source

# Speed beside llama.cpp, which is built from its source package for this machine.
BENCH_PEERS ?=
.PHONY: bench-peers
bench-peers: $(PEERS) compare-model
	$(PYTHON) Benchmarks/compare-peers.py --hearth $(HEARTH) $(BENCH_PEERS)

# The server under load. Beside llama-server it needs LLAMA_SERVER=PATH, or builds one from the same source package.
BENCH_SERVING ?=
LLAMA_SERVER ?= .build/llama-server/bin/llama-server
.PHONY: bench-serving soak-serving
bench-serving: $(PEERS) compare-model tiny-model $(LLAMA_SERVER)
	$(PYTHON) Benchmarks/compare-serving.py peers --hearth $(HEARTH) --llama-server $(LLAMA_SERVER) $(BENCH_SERVING)
	$(PYTHON) Benchmarks/compare-serving.py overload --hearth $(HEARTH)
	$(TINY) $(PYTHON) Benchmarks/compare-serving.py cancel --hearth $(HEARTH) --model tiny --requests 10000

# What looks for leaks asks the small model of the clients' tests: more requests in less time.
TINY_HOME = $(CURDIR)/.build/tiny-home
TINY = HEARTH_HOME=$(TINY_HOME)
.PHONY: tiny-model
tiny-model: build
	@test -e $(TINY_HOME)/tiny/config.json || python3 Scripts/clients/model.py $(TINY_HOME)/tiny
	@$(TINY) $(HEARTH) show tiny >/dev/null 2>&1 || $(TINY) $(HEARTH) pull $(TINY_HOME)/tiny --name tiny

SOAK_MINUTES ?= 60
SOAK ?=
soak-serving: $(PEERS) tiny-model
	$(TINY) $(PYTHON) Benchmarks/compare-serving.py soak --hearth $(HEARTH) --model tiny --minutes $(SOAK_MINUTES) $(SOAK)

.build/llama-server/bin/llama-server: $(PEERS)
	rm -rf .build/llama-server .build/llama-server.source && mkdir -p .build/llama-server.source
	$(PYTHON) -m pip install --quiet cmake ninja
	$(PYTHON) -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest .build/llama-server.source \
	  `grep '^llama-cpp-python' Scripts/requirements-compare.txt`
	tar -xzf .build/llama-server.source/llama_cpp_python-*.tar.gz -C .build/llama-server.source
	PATH=$(dir $(abspath $(PYTHON))):$$PATH cmake -G Ninja -S .build/llama-server.source/llama_cpp_python-*/vendor/llama.cpp \
	  -B .build/llama-server -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF \
	  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF
	PATH=$(dir $(abspath $(PYTHON))):$$PATH cmake --build .build/llama-server --target llama-server

# lm-evaluation-harness through /v1/completions, with the tokenizer as `hearth export` writes it.
LM_EVAL = $(CURDIR)/.build/lm-eval
ifndef LM_EVAL_PYTHON
LM_EVAL_PYTHON = $(LM_EVAL)/bin/python
LM_EVAL_READY = $(LM_EVAL)/ready
endif
.PHONY: test-lm-eval
test-lm-eval: compare-model $(LM_EVAL_READY)
	@mkdir -p $(LM_EVAL)
	@test -e $(LM_EVAL)/model/tokenizer.json || $(HEARTH) export smollm2 --format safetensors --output $(LM_EVAL)/model
	$(LM_EVAL_PYTHON) Scripts/lm-eval/compare.py --hearth $(HEARTH) --tokenizer $(LM_EVAL)/model --output $(LM_EVAL)

$(LM_EVAL)/ready: Scripts/lm-eval/requirements.txt
	python3 -m venv --clear $(LM_EVAL)
	$(LM_EVAL)/bin/python -m pip install --quiet --requirement $<
	touch $@

compare-fixtures: $(PEERS)
	$(PYTHON) Scripts/compare-fixtures.py

# Seven kinds of files share the ten minutes; the suites run one after the other.
FUZZ_SECONDS ?= 600
fuzz:
	HEARTH_FUZZ_SECONDS=$$(($(FUZZ_SECONDS) / 7)) Scripts/test.sh --no-parallel --filter 'FuzzTests|damageNeverTraps'

KILLS ?= 200
REQUESTS ?= 20000
soak:
	HEARTH_KILLS=$(KILLS) Scripts/test.sh --filter KillTests
	HEARTH_REQUESTS=$(REQUESTS) Scripts/test.sh --filter EqualityTests

# A file system of 1 MB of its own, which needs root; it goes when the tests end.
.PHONY: test-full-disk
test-full-disk:
	@mkdir -p .build/full-disk
	unshare --mount sh -c 'mount -t tmpfs -o size=1m none .build/full-disk && HEARTH_TEST_FULL_DISK=$$PWD/.build/full-disk \
	  Scripts/test.sh --no-parallel --filter "aFullFileSystemKeepsTheCheckpointBefore|leavesNothingOnAFullDisk|aServerOnAFullDisk"'

# Each program prints rates beside what registers and memory of this machine allow.
RATES = clang -std=gnu17 -O3 -Wno-psabi -ffp-contract=off -fno-math-errno -ISources/CKernels/include \
  $(shell find Sources/CKernels -name '*.c') Scripts/kernel-rates/ceilings.c -lpthread -lm
rates:
	@mkdir -p .build/rates
	@$(RATES) Scripts/kernel-rates/affine.c -o .build/rates/affine
	@$(RATES) Scripts/kernel-rates/gemm.c -o .build/rates/gemm
	@$(RATES) Scripts/kernel-rates/bf16.c -o .build/rates/bf16
	@$(RATES) Scripts/kernel-rates/attention.c -o .build/rates/attention
	@$(RATES) Scripts/kernel-rates/dense.c -o .build/rates/dense
	.build/rates/affine
	.build/rates/gemm
	.build/rates/bf16
	.build/rates/attention
	.build/rates/dense

clean:
	$(SWIFT) package clean

# Training in groups over MPI, on this machine and between hosts in network namespaces.
.PHONY: test-mpi
test-mpi:
	@Scripts/test-mpi.sh

# Fine-tuning on conversations between people, which pip installs into .build; needs Python 3 with pip.
.PHONY: chitchat
chitchat: compare-model
	python3 Scripts/chitchat.py

# Fine-tuning beside PyTorch and PEFT; BENCH_TRAINING="--rounds 1" hands options on.
.PHONY: bench-training
bench-training: $(PEERS) compare-model
	$(PYTHON) Benchmarks/compare-training.py $(BENCH_TRAINING)
