# The two commands a newcomer needs are `make demo` and `make test`.
SWIFT ?= swift

.PHONY: help demo build test lint format sanitize fuzz compare rates clean

help:
	@echo 'make demo      build Hearth, fetch a small model, teach it the help desk in Examples/, show what it learned'
	@echo 'make test      every test (needs the package registries, nothing else)'
	@echo 'make build     the command line tool, in .build/release/hearth'
	@echo 'make lint      formatting, import rules, file sizes'
	@echo 'make sanitize  what reads bytes from files, under the address and undefined-behaviour sanitizers'
	@echo 'make fuzz      damaged files for ten minutes instead of seconds'
	@echo 'make compare   logits, text, training and exports against the peers (Python; see Docs/accuracy.md)'
	@echo 'make rates     what the kernels reach of what this machine can do'

demo:
	@Scripts/demo.sh

build:
	$(SWIFT) build -c release --product hearth

test:
	@Scripts/test.sh

lint:
	@Scripts/lint.sh

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

# C code that reads bytes from files, under the address and undefined-behaviour sanitizers.
SANITIZE = -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
sanitize:
	@mkdir -p .build
	clang -std=c17 -g -O1 -Wall -Wextra -ffp-contract=off -fno-math-errno -fuse-ld=lld $(SANITIZE) \
	  Tests/C/formats_sanitize.c Sources/CKernels/formats.c Sources/CKernels/formats/*.c \
	  Sources/CKernels/isa.c -o .build/formats_sanitize
	.build/formats_sanitize

clean:
	$(SWIFT) package clean
