# The two commands a newcomer needs: `make demo` and `make test`.
SWIFT ?= swift

.PHONY: build test clean

build:
	$(SWIFT) build -c release --product hearth

test:
	$(SWIFT) test

clean:
	$(SWIFT) package clean
