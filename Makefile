# Everything starts from a Python with pip and venv; the tools and environments are made where they are missing.
PYTHON ?= $(shell for python in python3.11 python3 python; do \
	"$$python" -c "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))" 2>/dev/null && echo "$$python" && break; done)
TOOLS := .venv-tools
UV := $(TOOLS)/bin/uv
NOX := $(TOOLS)/bin/nox
DEMO := .venv
DOCS := .venv-docs

.PHONY: demo test lint docs interop bench campaign wheels platforms clean

## Answer questions about the Python language reference: passages, scores and speed
demo: $(DEMO)/.installed
	$(DEMO)/bin/dpr-tiny demo

## Run the tests under every supported set of libraries, and measure coverage over all of them
test: $(TOOLS)/.installed
	$(NOX)

## Check style and types, and the workflows and forms of the project
lint: $(TOOLS)/.installed
	$(NOX) -s lint project_files

## Write the documentation into site/; a broken link or a missing docstring fails
docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

## Load what is saved here with transformers 5 and sentence-transformers (installs torch)
interop: $(TOOLS)/.installed
	$(NOX) -s interop

## Measure speed, memory and start beside the peers (installs torch), into bench-results/; make bench ARGS="--only queries"
bench: $(TOOLS)/.installed
	$(NOX) -s bench -- $(ARGS)

## Try for an hour to make it lose data, crash or hang, into campaign-results/; make campaign ARGS="--minutes 5 --only kills"
campaign: $(TOOLS)/.installed
	$(NOX) -s campaign -- $(ARGS)

## Build the source archive and a wheel for each platform into dist/; make wheels ARGS=--twice compares two runs' bytes
wheels: $(TOOLS)/.installed
	$(NOX) -s wheels -- $(ARGS)

## Run what is in dist/ on Linux with glibc and musl, on ARM64 by qemu and on Windows by wine (installs these from Debian)
platforms: $(TOOLS)/.installed
	$(NOX) -s platforms -- $(ARGS)

## Remove all environments
clean:
	rm -rf $(DEMO) $(DOCS) $(TOOLS) .nox

$(TOOLS)/.installed: Makefile
	$(if $(PYTHON),,$(error no Python 3.10 or later with pip and venv was found; name one: make PYTHON=...))
	"$(PYTHON)" -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet "nox==2026.10.20" "uv==0.13.9"
	touch $@

$(DEMO)/.installed: pyproject.toml setup.py $(wildcard csrc/*) $(TOOLS)/.installed
	$(UV) venv --quiet --allow-existing --python "$(PYTHON)" $(DEMO)
	$(UV) pip install --quiet --python $(DEMO) --editable .
	touch $@

$(DOCS)/.installed: pyproject.toml $(TOOLS)/.installed
	$(UV) venv --quiet --allow-existing --python "$(PYTHON)" $(DOCS)
	$(UV) pip install --quiet --python $(DOCS) --editable . --group docs
	touch $@
