# SPDX-License-Identifier: GPL-2.0-only
# All the set-up and everything that is done with a checkout, on a fresh Debian 12 or the like.
#
#   make demo        an MPTCP transfer over two paths, one of which is cut in the middle
#   make test        build, then the tests in C and in Python
#   make test-full   the same, and sanitizers, lockdep, KUnit, and what takes long
#   make bench       the benchmarks, beside the host's kernel
#   make check       style and types; `make format-csrc` has the C put in style
#   make docs        the guide, into build/docs
#   make tox         the tests on every CPython at hand, against wheels
#   make wheel       a wheel for this Python, into wheels/dist, tried in an environment of its own
#   make wheels      wheels for every CPython at hand, made and tried in a container; as root
#   make wheels-aarch64   one for aarch64, cross-built, tried under qemu-user
#   make release-check    whether what is in wheels/dist may be published
#   make build       the kernel and the extension, in place
#   make clean       remove what was built here; the cache of kernels stays
#
# LKLSOCK_PYTHON=/path/to/python3 chooses the Python of the virtual environment.

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMPS := .make
KERNEL_BUILD := $(PYTHON) third_party/lkl/kernel_build.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Programs or files, and the packages that have them. kernel_build.py names what it misses, too.
PROGRAMS := gcc:gcc g++:g++ make:make ld:binutils flex:flex bison:bison bc:bc patch:patch
TEST_PROGRAMS := /etc/services:netbase ip:iproute2 tcpdump:tcpdump openssl:openssl \
	nft:nftables sysctl:procps curl:curl git:git systemd-analyze:systemd \
	redis-check-rdb:redis-tools dnsmasq:dnsmasq-base mariadbd:mariadb-server-core \
	mptcpize:mptcpize iperf3:iperf3 nginx:nginx-light passt:passt
# checkpatch.pl takes modules that perl-base lacks; pod2man is in the same package.
CHECK_PROGRAMS := pod2man:perl
HEADERS := /usr/include/$(shell uname -m)-linux-gnu
FULL_PROGRAMS := clang:clang chromium:chromium chromedriver:chromium-driver \
	/usr/include/openssl/ssl.h:libssl-dev /usr/include/zlib.h:zlib1g-dev \
	/usr/include/lzma.h:liblzma-dev /usr/include/bzlib.h:libbz2-dev $(HEADERS)/ffi.h:libffi-dev
AARCH64_COMPILER := aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu \
	/usr/aarch64-linux-gnu/include/stdio.h:libc6-dev-arm64-cross
CONTAINER_PROGRAMS := podman:podman runc:runc debootstrap:debootstrap \
	/usr/lib/podman/netavark:netavark
AARCH64_PROGRAMS := $(AARCH64_COMPILER) aarch64-linux-gnu-g++:g++-aarch64-linux-gnu \
	qemu-aarch64:qemu-user
TOX_PYTHONS := 3.10 3.11 3.12 3.13
CLANG_FORMAT := $(VENV)/bin/clang-format
C_FILES = $(shell find csrc tests/csrc benchmarks/c -name '*.[ch]' -o -name '*.cpp')
PYTHONS := $(or $(LKLSOCK_PYTHON),python3 python3.13 python3.12 python3.11 python3.10)

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.PHONY: machine venv kernel build demo docs test test-full bench clean \
	check check-python check-csrc check-types check-port format-csrc \
	tox wheel wheels wheels-aarch64 kernel-aarch64 release-check

define PYTHON_CHECK
import ensurepip, lzma, os, sys, sysconfig, venv
assert sys.version_info >= (3, 10)
assert os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))
endef
export PYTHON_CHECK

# Debian has CPython's own tests, which tests/conformance runs, in a package beside its Python.
define PYTHON_TESTS
import importlib.util, sys
if sys.base_prefix == "/usr" and importlib.util.find_spec("test.test_socket") is None:
    print(" libpython%d.%d-testsuite" % sys.version_info[:2])
endef
export PYTHON_TESTS

# Names the Debian packages that are missing, installs them if root, and finds a Python.
define MACHINE_CHECK
PATH="$$PATH:/usr/sbin:/sbin"
suits() {
	"$$1" -c "$$PYTHON_CHECK" 2>/dev/null
}
find_python() {
	for python in $(PYTHON) $(PYTHONS); do
		if suits "$$python"; then return 0; fi
	done
	return 1
}
lacking() {
	for pair in "$$@"; do
		command -v "$${pair%%:*}" >/dev/null || [ -e "$${pair%%:*}" ] || printf ' %s' "$${pair##*:}"
	done
}
can_install() {
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null
}
install() {
	echo "installing:$$1"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update
	apt-get -qq install --no-install-recommends --yes $$1 >/dev/null
}
needed=$$(lacking $(PROGRAMS))
find_python || [ -n '$(LKLSOCK_PYTHON)' ] || needed="$$needed python3 python3-venv python3-dev"
wanted="$$needed$$(lacking $(TEST_PROGRAMS) $(EXTRA_PROGRAMS))"
if [ -n "$$wanted" ]; then
	if can_install; then
		install "$$wanted"
	elif [ -n "$$needed" ]; then
		echo "missing packages; install them with: apt-get install$$wanted" >&2
		exit 1
	else
		echo "some tests will be skipped without: apt-get install$$wanted" >&2
	fi
fi
if ! find_python; then
	echo "no Python >= 3.10 with venv, lzma and Python.h among: $(PYTHONS)" >&2
	echo "install python3 python3-venv python3-dev, or set LKLSOCK_PYTHON" >&2
	exit 1
fi
suite=$$("$$python" -c "$$PYTHON_TESTS" 2>/dev/null || true)
if [ -n "$$suite" ] && ! { can_install && install "$$suite"; }; then
	echo "some tests will be skipped without: apt-get install$$suite" >&2
fi
mkdir -p $(STAMPS)
echo "$$python" > $(STAMPS)/python
endef
export MACHINE_CHECK

machine:
	@sh -euc "$$MACHINE_CHECK"

$(PYTHON): | machine
	"$$(cat $(STAMPS)/python)" -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --upgrade 'pip>=25.1'

venv: $(PYTHON)

# Takes 0.2 s if nothing changed, and sees every change of the port and the host half.
kernel: $(PYTHON)
	@$(KERNEL_BUILD)

$(STAMPS)/package: pyproject.toml setup.py \
		$(wildcard csrc/bind/* csrc/loader/* csrc/include/*) $(PYTHON) | kernel
	@echo "installing lklsock into $(VENV)"
	@$(PYTHON) -m pip install --quiet --editable '.[demo]' --group test
	@touch $@

# The libraries that tests/apps runs on the stack; wheels, or nothing.
$(STAMPS)/apps: pyproject.toml $(PYTHON) | $(STAMPS)/package
	@$(PYTHON) -m pip install --quiet --only-binary :all: --group apps
	@touch $@

$(STAMPS)/lint: pyproject.toml $(PYTHON)
	@$(PYTHON) -m pip install --quiet --group lint 'pyroute2>=0.9'
	@touch $@

$(STAMPS)/wheels: pyproject.toml $(PYTHON)
	@$(PYTHON) -m pip install --quiet --group wheels
	@touch $@

$(STAMPS)/tox: pyproject.toml $(PYTHON)
	@$(PYTHON) -m pip install --quiet --group tox
	@touch $@

$(STAMPS)/docs: pyproject.toml $(PYTHON)
	@$(PYTHON) -m pip install --quiet --group docs
	@touch $@

build: kernel $(STAMPS)/package

demo: build
	@$(PYTHON) -m lklsock demo

test: build $(STAMPS)/apps
	@$(PYTHON) -m pytest

test-full: EXTRA_PROGRAMS := $(FULL_PROGRAMS)
test-full: build $(STAMPS)/apps $(STAMPS)/lint
	@$(KERNEL_BUILD) --flavour debug --output build/kernel/debug --all-files
	@$(KERNEL_BUILD) --sanitize address --output build/kernel/address --all-files
	@$(KERNEL_BUILD) --sanitize thread --output build/kernel/thread --all-files
	@$(MAKE) --no-print-directory -C tests/csrc check-full
	@$(PYTHON) wheels/free_threaded.py
	@$(MAKE) --no-print-directory tox TOX_ARGUMENTS='-e 3.13t' TOX_PYTHONS=3.13t
	@for python in $$($(PYTHON) wheels/interpreters.py $(TOX_PYTHONS)); do \
		PYTHONPATH=$$(echo $(VENV)/lib/python3*/site-packages) \
			"$$python" setup.py --quiet build_ext --inplace || exit; \
	done
	@$(PYTHON) -m pytest -m 'full or not full'

bench: build
	@$(PYTHON) benchmarks/run.py

# What pre-commit and tox run, too.
check: EXTRA_PROGRAMS := $(CHECK_PROGRAMS)
check: check-python check-csrc check-types check-port

check-python: $(STAMPS)/lint
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

check-csrc: $(STAMPS)/lint
	@$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)

format-csrc: $(STAMPS)/lint
	@$(CLANG_FORMAT) -i $(C_FILES)

check-types: build $(STAMPS)/lint
	$(VENV)/bin/mypy
	$(PYTHON) -m mypy.stubtest lklsock._lkl --allowlist tests/stubtest.allowlist

check-port: kernel
	$(PYTHON) third_party/lkl/checkpatch.py

docs: $(STAMPS)/docs
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict
	@echo "the guide is build/docs/index.html"

tox: build $(STAMPS)/tox
	@$(PYTHON) -m tox run $(TOX_ARGUMENTS) \
		--discover $$($(PYTHON) wheels/interpreters.py $(TOX_PYTHONS)) \
		$(if $(TOX_TESTS),-- $(TOX_TESTS))

wheel: $(STAMPS)/wheels
	@$(PYTHON) wheels/native.py

wheels: EXTRA_PROGRAMS := $(CONTAINER_PROGRAMS)
wheels: $(STAMPS)/wheels
	@$(PYTHON) wheels/container.py $(WHEEL_PYTHONS)

wheels-aarch64: EXTRA_PROGRAMS := $(AARCH64_PROGRAMS)
wheels-aarch64: $(STAMPS)/wheels
	@$(PYTHON) wheels/aarch64.py

# The other architecture must not rot.
kernel-aarch64: EXTRA_PROGRAMS := $(AARCH64_COMPILER)
kernel-aarch64: $(PYTHON)
	@CROSS_COMPILE=aarch64-linux-gnu- $(KERNEL_BUILD) --output build/kernel/aarch64

release-check: $(STAMPS)/wheels
	@$(PYTHON) wheels/release_check.py

clean:
	rm -rf $(VENV) $(STAMPS) .tox build dist wheels/dist src/*.egg-info src/lklsock/_kernel src/lklsock/*.so
