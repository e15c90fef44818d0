# A job without a screen: settings in a file, nothing but results printed, exit codes and JSON for the next job.
plopkit data check "emoji 15-5 overlap" --preset smoke --json > check.json
plopkit run "emoji 15-5 overlap" --preset smoke --print-config > settings.yaml
plopkit run --config settings.yaml --log jsonl --quiet > printed.txt
plopkit run --config settings.yaml --quiet > again.txt
plopkit run --config settings.yaml --optim.lr -1 --quiet  # exit code 2
plopkit run --config nowhere.yaml --quiet  # exit code 2
plopkit compare runs --json > table.json
