# The two commands a newcomer needs: `make demo` and `make test`.
SWIFT ?= swift

.PHONY: build test sanitize clean

build:
	$(SWIFT) build -c release --product hearth

test:
	$(SWIFT) test

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
