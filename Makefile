# Each target sets up what it needs: a virtual environment under .venv*/, with unspool
# installed from a freshly built wheel. Needs Python 3.10 or later and make; no Graphviz, no root.

PYTHON ?= python3
SOURCES := $(shell git ls-files '*.py' viz/assets py.typed pyproject.toml README.md 2>/dev/null || find . -name '*.py' -not -path './.venv*')
DIST    := .cache/dist
# One thread for the linear algebra: these matrices are small, and ratios are of one thread.
ONE     := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
CLEAN   := env -u OPENBLAS_CORETYPE -u PYTHONPATH $(ONE)

.PHONY: demo gallery test lint bench assets clean

# The main job: train a language model on Python's own manual, write from it, draw it.
demo: .venv-demo/ready
	$(CLEAN) .venv-demo/bin/unspool demo --out demo

# Every kind of picture, from real models, and a page that shows them: gallery/index.html.
gallery: .venv-gallery/ready
	$(CLEAN) .venv-gallery/bin/python notebooks/gallery.py --out gallery

# All tests, the slow ones too, on the installed wheel; the skips are counted by reason.
test: .venv-test/ready
	$(CLEAN) .venv-test/bin/pytest -m "" $(TESTS)

# Style and types.
lint: .venv-lint/ready
	.venv-lint/bin/ruff check .
	.venv-lint/bin/ruff format --check .
	cd .cache && MYPY_FORCE_COLOR=0 ../.venv-lint/bin/mypy --config-file ../pyproject.toml --cache-dir mypy -p unspool

# Speed and memory beside the peers that are installed (PEERS="torch==..." installs some).
bench: .venv-bench/ready
	cd tests/benchmarks && for script in bench_*.py; do $(CLEAN) ../../.venv-bench/bin/python $$script || exit 1; done

# The JavaScript in the page that is not ours: npm's packages as package-lock.json pins them, their
# licences above them. What comes out is committed; a test compares it with its checksum.
D3 := dispatch selection timer color interpolate ease drag transition zoom
assets:
	rm -rf .cache/npm && mkdir -p .cache/npm
	cp viz/assets/package.json viz/assets/package-lock.json .cache/npm/
	cd .cache/npm && npm ci --ignore-scripts --no-audit --no-fund
	cd .cache/npm/node_modules && { echo '/*!'; for part in $(D3); do echo "d3-$$part:"; \
		cat d3-$$part/LICENSE; echo; done; echo '*/'; for part in $(D3); do \
		cat d3-$$part/dist/d3-$$part.min.js; echo; done; } > ../../../viz/assets/d3.js
	cd viz/assets && sha256sum d3.js > SHA256SUMS

clean:
	rm -rf .venv-* .cache build dist demo gallery *.egg-info

# The wheel is built from a clean tree: an old build/ would bring deleted files back.
$(DIST)/built: $(SOURCES)
	@mkdir -p .cache
	rm -rf build *.egg-info $(DIST)
	test -x .venv-build/bin/python || $(PYTHON) -m venv .venv-build
	.venv-build/bin/python -m pip install --quiet --disable-pip-version-check build
	.venv-build/bin/python -m build --wheel --outdir $(DIST) . > .cache/build.log 2>&1 || { cat .cache/build.log; exit 1; }
	rm -rf build *.egg-info
	touch $@

EXTRAS-demo  := train,render
EXTRAS-gallery := render,plot
EXTRAS-test  := train,render,test
EXTRAS-lint  := dev
EXTRAS-bench := train,render,test

.venv-%/ready: $(DIST)/built
	@mkdir -p .cache
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls $(DIST)/*.whl)[$(EXTRAS-$*)]" $(PEERS)
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$$(ls $(DIST)/*.whl)"
	touch $@
