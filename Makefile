.PHONY: setup demo test lint
setup:
	scripts/setup.sh
demo: setup
	.venv/bin/python scripts/demo.py
test: setup
	.venv/bin/python -m pytest -q -n 2
lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	cd build && ../.venv/bin/mypy --strict -p neuralcodec
	$(MAKE) -C firmware_decoder strict
