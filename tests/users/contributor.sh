# Adds a method in a file, compares it, and checks it as CONTRIBUTING says.
plopkit run "emoji 15-5 overlap" --plugin sharper.py --method sharper --hyper.factor 1.5 --preset smoke --name mine
plopkit run "emoji 15-5 overlap" --method ft --preset smoke --name known
plopkit compare runs
python -m ruff check --config "$PLOPKIT/pyproject.toml" sharper.py
python -m pytest -q -p no:cacheprovider -c "$PLOPKIT/pyproject.toml" --rootdir "$PLOPKIT" "$PLOPKIT/tests/test_orders.py"
