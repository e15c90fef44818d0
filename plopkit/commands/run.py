"""`plopkit run`: train a scenario."""

from collections.abc import Sequence

from plopkit.commands.words import print_results, without


def run(arguments: Sequence[str]) -> None:
    """Train a scenario: plopkit run "voc 15-5 overlap" --method plop --preset paper --data.root data/voc"""
    from plopkit.flags import parse_run
    from plopkit.settings import to_yaml

    quiet, words = without(arguments, "--quiet")
    force, words = without(words, "--force")
    only_print, words = without(words, "--print-config")
    settings = parse_run(words, str(run.__doc__))
    if only_print:
        print(to_yaml(settings), end="")
        return
    from plopkit.runs.experiment import run as run_settings  # wrong flags do not wait for torch

    print_results(run_settings(settings, progress=not quiet, force=force))
