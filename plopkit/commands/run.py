"""`plopkit run`: train a scenario."""

from collections.abc import Sequence

from plopkit.commands.words import print_results, without


def run(arguments: Sequence[str]) -> None:
    """Train a scenario: plopkit run "voc 15-5 overlap" --method plop --preset paper --data.root data/voc"""
    from plopkit.flags import parse_run

    quiet, words = without(arguments, "--quiet")
    force, words = without(words, "--force")
    settings = parse_run(words, str(run.__doc__))
    from plopkit.runs.experiment import run as run_settings  # wrong flags do not wait for torch

    print_results(run_settings(settings, progress=not quiet, force=force))
