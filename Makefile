# Plexvol's build. `make help` lists what can be made.
#
# Sources and tests are found by wildcard: a file that exists is built, a test that exists is run.
# A second build beside the first needs no second set of rules, only another folder:
#   make BUILD=build/asan SAN=address,undefined unit

VERSION   := 0.1.0
BUILD     ?= build
SAN       ?=
DESTDIR   ?=
PREFIX    ?= /usr/local
# Where the kubelet looks for drivers; other distributions: see installer/README.md.
PLUGINS   ?= /usr/libexec/kubernetes/kubelet-plugins/volume/exec
NODES     ?= 3

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.SUFFIXES:
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --no-builtin-rules -j$(shell nproc)
endif

# --- Debian 12 packages: to build, to run the agent and its tools, for the lab of emulated machines, to check

PACKAGES := \
  g++ make dpkg-dev pkg-config libboost-dev libboost-system-dev libboost-filesystem-dev nlohmann-json3-dev \
  libcli11-dev libspdlog-dev libfmt-dev libblkid-dev libcurl4-openssl-dev libgrpc++-dev libprotobuf-dev \
  protobuf-compiler protobuf-compiler-grpc doctest-dev \
  drbd-utils lvm2 thin-provisioning-tools xfsprogs e2fsprogs fdisk udev util-linux kmod \
  etcd-server etcd-client openssl curl iproute2 \
  qemu-system-x86 crun containerd runc busybox-static cpio python3 python3-grpcio python3-pytest python3-yaml \
  golang-go golang-github-modern-go-reflect2-dev containernetworking-plugins \
  clang libclang-rt-14-dev spin clang-format clang-tidy shellcheck pyflakes3

# What `make bench` compares with, and measures by.
BENCH_PACKAGES := fio jq

# --- How things are compiled

CXX       := g++
WARNINGS  := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor \
             -Woverloaded-virtual -Wnull-dereference -Wduplicated-cond -Wlogical-op -Werror
# Those that GCC alone knows.
ifneq ($(findstring clang,$(CXX)),)
WARNINGS  := $(filter-out -Wduplicated-cond -Wlogical-op,$(WARNINGS))
endif
DEFINES   := -DPLEXVOL_VERSION='"$(VERSION)"' -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL
GENERATED := $(BUILD)/generated
INCLUDES  := -I. -isystem $(GENERATED)
CPPFLAGS  := $(DEFINES) $(INCLUDES)
# Lines and functions, for traces; for variables in a debugger too: make DEBUG=-g
DEBUG     := -g1
CXXFLAGS  := -std=c++20 -pipe $(DEBUG) $(WARNINGS)
OPTIMISE  := -O2
# Tests and the sanitizers' build are compiled once and run once: there the compiler's time is what counts.
TEST_OPTIMISE := -O0
ifneq ($(SAN),)
# Twice as long to compile with -O1 as without, for tests that run once.
OPTIMISE  := -O0
CXXFLAGS  += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
# A program that can be anywhere has hundreds of thousands of addresses to set, each time that it starts.
CXXFLAGS  += -fno-pie
LINKFLAGS := -no-pie
# GCC 12 sees null pointers in the code that the sanitizers add.
CXXFLAGS  += $(if $(filter g++,$(CXX)),-Wno-null-dereference -Wno-maybe-uninitialized)
endif
LDLIBS    := -lspdlog -lfmt $(shell pkg-config --libs grpc++ protobuf 2>/dev/null) -lboost_filesystem -lboost_system \
             -lblkid -pthread
# The driver runs on hosts that have nothing: one static file, small, since it is started for every call.
DRIVER_CXXFLAGS := -Os -ffunction-sections -fdata-sections
ifeq ($(SAN),)
DRIVER_LDFLAGS  := -static -s -Wl,--gc-sections
else
# The sanitizers do without static executables.
DRIVER_CXXFLAGS := $(OPTIMISE)
DRIVER_LDFLAGS  := -Wl,--gc-sections
endif

# --- Precompiled headers: half of Clang's time for a test is reading the same headers again

# Empty: none. No file relies on them: clang-tidy reads each without. GCC does without by default: behind one, GCC 12
# warns of code of the library that it would say nothing of otherwise.
PRECOMPILED := $(findstring clang,$(CXX))
# One for each set of flags. The compiler takes the .gch or .pch beside the header that it is told to include.
ifneq ($(PRECOMPILED),)
PCH         := $(if $(findstring clang,$(CXX)),pch,gch)
AGENT_PCH   := $(BUILD)/precompiled/agent.h.$(PCH)
DRIVER_PCH  := $(BUILD)/precompiled/driver.h.$(PCH)
TEST_PCH    := $(BUILD)/precompiled/tests.h.$(PCH)
# Clang makes the templates in it once, and keeps the time out of it, for ccache.
PCH_FLAGS   := $(if $(findstring clang,$(CXX)),-fpch-instantiate-templates -Xclang -fno-pch-timestamp)
# Without it ccache does not keep what is compiled behind a precompiled header.
export CCACHE_SLOPPINESS := pch_defines,time_macros
endif
include_pch  = $(patsubst %.$(PCH),-include %,$(1))

# --- What is compiled

AGENT_SOURCES  := $(filter-out agent/main.cpp agent/%/main.cpp,$(wildcard agent/*.cpp agent/*/*.cpp))
# What the static driver shares with the agent and the controller.
SHARED_SOURCES := $(wildcard agent/api/*.cpp agent/base/*.cpp agent/client/*.cpp agent/manifest/*.cpp agent/mounts/*.cpp)
DRIVER_SOURCES := $(filter-out flexdriver/main.cpp,$(wildcard flexdriver/*.cpp flexdriver/*/*.cpp))
TEST_SOURCES   := $(shell find tests/unit tests/support -name '*.cpp' 2>/dev/null)
PROTOS         := $(wildcard agent/*/*.proto)

# The files of a folder are compiled as one, in a third of the time, since each would read the same headers. UNITY= compiles
# each by itself: that is quicker while one file is edited.
UNITY          ?= 1
# Of these sources, in this folder.
objects         = $(if $(UNITY),$(patsubst %/,$(1)/%.folder.o,$(sort $(dir $(2)))),$(2:%.cpp=$(1)/%.o))

OBJ            := $(BUILD)/obj
AGENT_OBJECTS  := $(call objects,$(OBJ),$(AGENT_SOURCES))
# Without what only an agent needs: gRPC, libblkid.
CONTROLLER_OBJECTS := $(OBJ)/agent/controller/main.o $(OBJ)/agent/log.o \
  $(call objects,$(OBJ),$(SHARED_SOURCES) $(filter agent/controller/% agent/kube/% agent/view/%,$(AGENT_SOURCES)))
DRIVER_OBJECTS := $(call objects,$(BUILD)/static,$(DRIVER_SOURCES))
TEST_OBJECTS   := $(call objects,$(OBJ),$(TEST_SOURCES))
# All that reads text from outside, and what that stands on: without gRPC, which takes minutes to compile.
PARSER_OBJECTS := $(patsubst %.cpp,$(OBJ)/%.o,$(wildcard agent/base/*.cpp agent/api/*.cpp agent/client/*.cpp agent/manifest/*.cpp agent/model/*.cpp agent/process/*.cpp agent/lvm/*.cpp \
  agent/drbd/*.cpp agent/filesystem/*.cpp agent/filepool/*.cpp agent/mounts/*.cpp agent/pods/cgroups.cpp agent/http/message.cpp agent/store/file_format.cpp \
  agent/flexvolume/options.cpp agent/volumes/wanted.cpp agent/volumes/new_volume.cpp agent/log.cpp) $(DRIVER_SOURCES))
SCALE_OBJECTS  := $(patsubst %.cpp,$(OBJ)/%.o,$(wildcard tests/bench/scale/*.cpp))
PROTO_SOURCES  := $(PROTOS:%.proto=$(GENERATED)/%.pb.cc) $(PROTOS:%.proto=$(GENERATED)/%.grpc.pb.cc)
PROTO_OBJECTS  := $(PROTO_SOURCES:%.cc=%.o)
# What it and the agent share has other flags in a static driver; with the sanitizers these are the same.
SHARED_OBJ     := $(if $(SAN),$(OBJ),$(BUILD)/static)
STATIC_OBJECTS := $(DRIVER_OBJECTS) $(BUILD)/static/flexdriver/main.o \
                  $(call objects,$(SHARED_OBJ),$(SHARED_SOURCES))

.PHONY: build
build: $(BUILD)/plexvol $(BUILD)/plexvold $(BUILD)/plexvol-controller ## (default) driver, agent and controller: build/plexvol, plexvold, plexvol-controller

.PHONY: unit
unit: $(BUILD)/tests/unit ## the unit tests' executable, build/tests/unit

$(BUILD)/plexvold: $(OBJ)/agent/main.o $(BUILD)/agent.a
	@echo "  link     $@"
	@$(CXX) $(CXXFLAGS) $(LINKFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/plexvol-controller: $(CONTROLLER_OBJECTS)
	@echo "  link     $@"
	@$(CXX) $(CXXFLAGS) $(LINKFLAGS) -o $@ $^ -lspdlog -lfmt -lcurl -pthread

$(BUILD)/plexvol: $(STATIC_OBJECTS)
	@echo "  link     $@"
	@$(CXX) $(CXXFLAGS) $(LINKFLAGS) $(DRIVER_LDFLAGS) -o $@ $^

$(BUILD)/tests/unit: $(TEST_OBJECTS) $(BUILD)/driver.a $(BUILD)/agent.a
	@echo "  link     $@"
	@mkdir -p $(@D)
	@$(CXX) $(CXXFLAGS) $(LINKFLAGS) -o $@ $^ $(LDLIBS) -lcurl

# Many agents without disks; only `make bench` wants them.
$(BUILD)/bench/scale: $(SCALE_OBJECTS) $(BUILD)/agent.a
	@echo "  link     $@"
	@mkdir -p $(@D)
	@$(CXX) $(CXXFLAGS) $(LINKFLAGS) -o $@ $^ $(LDLIBS)

# Only by `make fuzz`, which sets another compiler and folder.
FUZZ_TARGETS := $(patsubst tests/fuzz/%.cpp,$(BUILD)/%,$(filter-out %/main.cpp,$(wildcard tests/fuzz/*.cpp)))
.PHONY: fuzz-targets
fuzz-targets: $(FUZZ_TARGETS)
$(FUZZ_TARGETS): $(BUILD)/%: $(OBJ)/tests/fuzz/%.o $(OBJ)/tests/fuzz/main.o $(BUILD)/parsers.a
	@echo "  link     $@"
	@$(CXX) $(CXXFLAGS) $(LINKFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# Archives, so that a program takes what it uses. Made anew each time: no member of a removed source stays behind.
$(BUILD)/agent.a: $(AGENT_OBJECTS) $(PROTO_OBJECTS)
$(BUILD)/driver.a: $(DRIVER_OBJECTS)
$(BUILD)/parsers.a: $(PARSER_OBJECTS)
$(BUILD)/%.a:
	@rm -f $@
	@$(AR) rcsT $@ $^

# Without ccache: it holds the path of its folder, so that of another checkout is of no use.
define precompile
	@echo "  compile  $@"
	@mkdir -p $(@D)
	@echo '#include "$<"' > $(basename $@)
	@CCACHE_DISABLE=1 $(CXX) $(CPPFLAGS) $(CXXFLAGS) $(1) $(PCH_FLAGS) -MD -MP -x c++-header -o $@ $(basename $@)
endef
ifneq ($(PRECOMPILED),)
$(AGENT_PCH) $(DRIVER_PCH): agent/precompiled.h $(BUILD)/flags
$(TEST_PCH): tests/precompiled.h $(BUILD)/flags
$(AGENT_PCH):
	$(call precompile,$(OPTIMISE))
$(DRIVER_PCH):
	$(call precompile,$(DRIVER_CXXFLAGS))
$(TEST_PCH):
	$(call precompile,$(TEST_OPTIMISE))
endif

# With these flags, behind this precompiled header.
define compile
	@echo "  compile  $(patsubst $(BUILD)/folders/%.cpp,%/,$<)"
	@mkdir -p $(@D)
	@$(CXX) $(CPPFLAGS) $(CXXFLAGS) $(1) $(call include_pch,$(2)) -MMD -MP -c -o $@ $<
endef
# doctest's header wants doctest's main program, which only the unit tests have.
$(OBJ)/tests/%.folder.o: $(BUILD)/folders/tests/%.cpp $(BUILD)/flags $(TEST_PCH)
	$(call compile,$(TEST_OPTIMISE),$(TEST_PCH))
$(OBJ)/tests/%.o: tests/%.cpp $(BUILD)/flags $(TEST_PCH)
	$(call compile,$(TEST_OPTIMISE),$(if $(filter unit/% support/%,$*),$(TEST_PCH)))

$(OBJ)/%.folder.o: $(BUILD)/folders/%.cpp $(BUILD)/flags $(AGENT_PCH)
	$(call compile,$(OPTIMISE),$(AGENT_PCH))
$(OBJ)/%.o: %.cpp $(BUILD)/flags $(AGENT_PCH)
	$(call compile,$(OPTIMISE),$(AGENT_PCH))

$(BUILD)/static/%.folder.o: $(BUILD)/folders/%.cpp $(BUILD)/flags $(DRIVER_PCH)
	$(call compile,$(DRIVER_CXXFLAGS),$(DRIVER_PCH))
$(BUILD)/static/%.o: %.cpp $(BUILD)/flags $(DRIVER_PCH)
	$(call compile,$(DRIVER_CXXFLAGS),$(DRIVER_PCH))

# Changes when a file comes or goes.
.PRECIOUS: $(BUILD)/folders/%.cpp
$(BUILD)/folders/%.cpp: FORCE
	@mkdir -p $(@D)
	@new=$$(printf '#include "%s"\n' $(filter-out agent/main.cpp agent/%/main.cpp flexdriver/main.cpp,$(wildcard $*/*.cpp))); $(write_changed)

# Interfaces of others: the generated code is not ours to warn about.
$(GENERATED)/%.o: $(GENERATED)/%.cc $(BUILD)/flags
	@echo "  compile  $<"
	@$(CXX) $(CPPFLAGS) $(filter-out $(WARNINGS),$(CXXFLAGS)) $(OPTIMISE) -MMD -MP -c -o $@ $<

$(GENERATED)/%.pb.cc $(GENERATED)/%.pb.h $(GENERATED)/%.grpc.pb.cc $(GENERATED)/%.grpc.pb.h: %.proto
	@echo "  generate $<"
	@mkdir -p $(GENERATED)
	@protoc -I. --cpp_out=$(GENERATED) --grpc_out=$(GENERATED) \
	  --plugin=protoc-gen-grpc=$$(command -v grpc_cpp_plugin) $<

# Who may include generated headers waits until they exist.
GENERATED_FOR := $(foreach folder,$(patsubst agent/%/,%,$(sort $(dir $(PROTOS)))),$(foreach of,agent tests/unit,$(OBJ)/$(of)/$(folder)/% $(OBJ)/$(of)/$(folder).folder.o))
$(filter $(GENERATED_FOR),$(AGENT_OBJECTS) $(TEST_OBJECTS)): | $(PROTO_SOURCES)

# Changes when the flags do, and only then; everything compiled depends on it.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@new=$$(printf '%s\n' "$$FLAGS"); $(write_changed)
FORCE:
# $new to the target, unless that holds it.
write_changed = [ "$$new" = "$$(cat $@ 2>/dev/null)" ] || printf '%s\n' "$$new" > $@
$(BUILD)/flags: export FLAGS = $(CXX) $(CPPFLAGS) $(CXXFLAGS) $(OPTIMISE) $(TEST_OPTIMISE) $(DRIVER_CXXFLAGS)$(if $(PRECOMPILED), $(PCH_FLAGS))

-include $(shell find $(BUILD)/precompiled $(BUILD)/obj $(BUILD)/static $(BUILD)/generated -name '*.d' 2>/dev/null)

# --- Trying it out

.PHONY: deps
deps: ## install the Debian packages that are missing (as root)
	@tests/install_packages.sh $(PACKAGES)
	@apt-cache show linux-image-amd64 > /dev/null 2>&1 || apt-get -q update  # the lab unpacks this one, uninstalled

.PHONY: test
test: deps ## build, run the tests, and print one line: N passed, N failed
	@$(MAKE) --no-print-directory build
	@tests/run --build

.PHONY: test-long
test-long: ## the same with the tests that take long, and every parser fuzzed for a little while
	@PLEXVOL_LONG=1 $(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory fuzz SECONDS=20

.PHONY: kubernetes
kubernetes: deps ## compile Debian's Kubernetes for the tests, once for each machine, into ~/.cache/plexvol
	@tests/kubernetes/compile

.PHONY: asan
asan: ## driver, agent and unit tests with the sanitizers, in build/asan
	@$(MAKE) --no-print-directory BUILD=build/asan SAN=address,undefined CXX=clang++ build unit

.PHONY: fuzz fuzz-programs
SECONDS ?= 60
fuzz: deps ## every parser and door against libFuzzer, this long each: make fuzz SECONDS=300
	@$(MAKE) --no-print-directory fuzz-programs
	@tests/fuzz/run $(SECONDS)
fuzz-programs:
	@$(MAKE) --no-print-directory BUILD=build/fuzz CXX=clang++ SAN=fuzzer-no-link,address,undefined WARNINGS= \
	  OPTIMISE=-O1 fuzz-targets

.PHONY: model soak
model: deps ## check the arbiter's protocol within larger bounds than `make test` does
	@tests/model/check --large
MINUTES ?= 60
soak: deps ## random faults against a volume that is written to: make soak MINUTES=60
	@$(MAKE) --no-print-directory build
	@tests/system/faults/soak $(MINUTES)

.PHONY: bench
bench: deps ## how fast, how small, how many: a table, also in tests/bench/RESULTS.md, and build/bench.json
	@tests/install_packages.sh $(BENCH_PACKAGES)
	@$(MAKE) --no-print-directory build
	@tests/bench/run --write

.PHONY: demo
demo: deps ## two emulated machines, a replicated volume, and what happens when one of them dies
	@$(MAKE) --no-print-directory build
	@tests/lab/demo

.PHONY: lab-up lab-down
lab-up: deps ## start emulated machines with Plexvol on them: make lab-up NODES=3
	@$(MAKE) --no-print-directory build
	@tests/lab/up $(NODES)
lab-down: ## stop them and remove what they left
	@tests/lab/down

# --- Checking

CXX_FILES   := $(shell find agent flexdriver tests -name '*.cpp' -o -name '*.h' 2>/dev/null)
SHELL_FILES := $(shell grep -lIrE '^\#!.*\b(ba|da)?sh$$' .ci tests installer examples 2>/dev/null)
PYTHON_FILES := $(shell find tests -name '*.py' 2>/dev/null; grep -lIrE '^\#!.*python3$$' .ci tests installer 2>/dev/null)
TIDY        := $(patsubst %.cpp,$(BUILD)/tidy/%.ok,$(filter %.cpp,$(CXX_FILES)))

.PHONY: check
check: check-format check-layers check-scripts check-findings check-citations check-commits check-tidy ## format, include layers, scripts, documents, commits, clang-tidy

.PHONY: check-format
check-format:
	@clang-format --dry-run -Werror $(CXX_FILES)

.PHONY: check-layers
check-layers:
	@tests/check_layers.sh

.PHONY: check-scripts
check-scripts:
	@shellcheck --exclude=SC2187 $(SHELL_FILES)  # busybox sh is looked at as dash
	@pyflakes3 $(sort $(PYTHON_FILES))

.PHONY: check-findings
check-findings:
	@tests/findings

.PHONY: check-citations
check-citations:
	@tests/check_citations

.PHONY: check-commits
check-commits:
	@tests/check_commits

.PHONY: check-tidy
check-tidy: $(TIDY)

# clang-tidy is slow: a file is looked at again only when its object changed, so when it or a header of it did.
$(BUILD)/tidy/flexdriver/%.ok: $(BUILD)/static/flexdriver/%.o .clang-tidy
	$(call run_tidy,flexdriver/$*)
$(BUILD)/tidy/%.ok: $(OBJ)/%.o .clang-tidy
	$(call run_tidy,$*)
define run_tidy
	@echo "  tidy     $(1).cpp"
	@mkdir -p $(@D)
	@clang-tidy --quiet $(1).cpp -- -std=c++20 $(CPPFLAGS) 2> $@.err || { cat $@.err >&2; exit 1; }
	@touch $@
endef

.PHONY: format
format: ## format the C++ files in place
	@clang-format -i $(CXX_FILES)

# --- Installing

.PHONY: image
image: build ## the image that the DaemonSets run, for docker load and others: build/image/plexvol-VERSION.tar
	@installer/image "$(BUILD)" "$(VERSION)" "$(BUILD)/image/plexvol-$(VERSION).tar"

.PHONY: deb
deb: build ## a Debian package for nodes whose agent runs under systemd: build/plexvol_VERSION_ARCH.deb
	@installer/deb "$(BUILD)" "$(VERSION)" "$(BUILD)/plexvol_$(VERSION)_$$(dpkg --print-architecture).deb"

.PHONY: install
install: build ## agent, driver, systemd unit and a sample configuration: DESTDIR, PREFIX, PLUGINS
	@installer/install.sh "$(DESTDIR)" "$(PREFIX)" "$(PLUGINS)" "$(BUILD)"

.PHONY: clean
clean: ## remove what was built
	@rm -rf build

.PHONY: help
help: ## this list
	@grep -hE '^[a-z -]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/' | expand -t 14
