# The front doors. Everything is decided elsewhere: CMakePresets.json (flavours), tools/deps
# (libraries), tools/test/run (suites).
#
#   make run                   a sandbox on 127.0.0.1:49983, ready for an SDK
#       [IN=container]         podman's, with runc; envd is its pid 1
#       [PORT=N] [PUBLISH="N"] envd's port; other ports of the container to be reachable
#       [ARGS="-trace"]        flags of the daemon
#   make test [SUITES="a b"]   everything, or the named suites
#   make dist | dev | clang | asan | tsan
#   make fuzz SECONDS=60 [TARGETS="h1 h2"]
#   make bench [ARGS="--target URL --pid N"]
#   make lint | clean

SECONDS ?= 60
FLAVOURS = dist dev clang asan tsan

.PHONY: run test fuzz bench lint clean ready $(FLAVOURS)

run: ready
	tools/run/run $(ARGS)

test: ready
	tools/test/run $(SUITES)

lint: ready
	tools/test/run lint

$(FLAVOURS): ready
	cmake --preset $@
	cmake --build --preset $@

fuzz: ready
	tools/fuzz/run $(SECONDS) $(TARGETS)

bench: dist
	tools/bench/run $(ARGS)

clean:
	rm -rf build

ready:
	@tools/deps/ready
