# May not install programs on the school's computers: plopkit goes into a folder, and the lessons into another.
python -m pip install --quiet --no-deps --no-index --no-build-isolation --target site "$PLOPKIT"
PYTHONPATH=$PWD/site python -m plopkit lessons my-lessons --no-open
PYTHONPATH=$PWD/site papermill --no-progress-bar my-lessons/00_start_here.ipynb seen.ipynb -p preset smoke
