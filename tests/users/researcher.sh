# Compares methods, headless, and keeps tables and pictures.
plopkit rows -o published.csv
plopkit run "voc 15-1 overlap" --method plop --preset paper --data.root voc --print-config > paper.yaml
plopkit grid --scenarios "emoji 15-5 disjoint" --methods mib plop --seeds 0 --preset smoke --workers 1 --quiet
plopkit compare runs -o pictures
plopkit compare runs --json > table.json
plopkit report runs -o report.html
