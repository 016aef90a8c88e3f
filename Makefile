# The front door. Meson and ninja do the building; every target installs what it needs first (tools/setup.sh).
.PHONY: all setup demo test unit system bench lint fuzz clean

all: build/build.ninja
	@ninja -C build

build/build.ninja: | setup
	@meson setup build --buildtype=debugoptimized >/dev/null

setup:
	@tools/setup.sh

demo: all
	@tools/demo.sh

# Everything: builds with gcc and clang, unit tests, lint, fuzz, system tests.
test: setup
	@tools/test.sh

unit: setup
	@tools/test.sh unit

system: setup
	@tools/test.sh system

lint: setup
	@tools/test.sh lint

# Long runs: make fuzz SECONDS=600
SECONDS ?= 60
fuzz: setup
	@tools/fuzz.sh $(SECONDS)

bench: all
	@tests/bench/run

clean:
	@rm -rf build
