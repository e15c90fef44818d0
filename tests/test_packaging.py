"""The files around the package agree with each other, and the rules of the project hold."""

import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
import yaml
from blocks import commands
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from plopkit.lessons.install import BESIDE, FOR_TEACHERS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Without papermill's output files, which git ignores.
NOTEBOOKS = sorted(p for p in (ROOT / "notebooks").glob("*.ipynb") if not p.name.endswith(".out.ipynb"))

READ: dict = {"capture_output": True, "text": True}

# Packages that have another name on conda-forge.
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def declared(*extras: str) -> dict[str, SpecifierSet]:
    """The version ranges of the runtime dependencies and of `extras`, by name; plopkit's own extras are expanded."""
    texts = list(PROJECT["dependencies"])
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    ranges = {}
    for requirement in map(Requirement, texts):
        if requirement.name == PROJECT["name"]:
            ranges |= declared(*requirement.extras)
        else:
            ranges[canonicalize_name(requirement.name)] = requirement.specifier
    return ranges


def pins(name: str = "constraints.txt") -> dict[str, str]:
    """The version of each package in a file of constraints."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def readme_commands() -> list[list[str]]:
    """The commands in README's fenced sh blocks, split into words."""
    return commands((ROOT / "README.md").read_text(encoding="utf-8"))


# --- environments


def test_environment_is_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    ranges = {}
    for entry in environment["dependencies"]:
        for text in entry["pip"] if isinstance(entry, dict) else [entry]:
            requirement = Requirement(text)
            name = CONDA_NAMES.get(requirement.name, canonicalize_name(requirement.name))
            ranges[name] = requirement.specifier
    del ranges["pip"]  # conda requires it where there is a `pip:` list
    assert ranges.pop("python") == SpecifierSet(PROJECT["requires-python"])
    assert ranges == declared("notebook")


@pytest.mark.parametrize("name", sorted(declared("dev", "iabn", "site")))
def test_constraints_pin_what_is_declared(name):
    assert Version(pins()[name]) in declared("dev", "iabn", "site")[name]


def test_the_lowest_versions_are_those_of_the_ranges():
    ranges = declared("notebook")
    lowest = {name: min(Version(part.version) for part in ranges[name] if part.operator == ">=") for name in ranges}
    assert {name: Version(version) for name, version in pins("constraints-lowest.txt").items()} == lowest


def test_constraints_have_no_local_labels():
    assert {name: version for name, version in pins().items() if Version(version).local} == {}


def test_torch_and_torchvision_are_a_pair():
    assert (pins()["torch"], pins()["torchvision"]) == ("2.13.0", "0.28.0")


def test_version_is_one():
    import plopkit

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert plopkit.__version__ == citation["version"] == PROJECT["version"]


def test_wheel_carries_facts_and_notebooks(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"plopkit/_notebooks/{name}" for name in (*BESIDE, *FOR_TEACHERS, *(path.name for path in NOTEBOOKS))}
    expected |= {f"plopkit/_facts/classes/{path.name}" for path in (ROOT / "data" / "classes").glob("*.txt")}
    for folder in ("measured", "twemoji"):
        expected |= {f"plopkit/_facts/{folder}/{path.name}" for path in (ROOT / "data" / folder).iterdir()}
    expected |= {
        f"plopkit/_facts/{name}" for name in ("published.csv", "orders.json", "voc_images.csv", "classes/voc.txt")
    }
    assert {name for name in names if name.startswith(("plopkit/_notebooks/", "plopkit/_facts/"))} == expected
    assert {"plopkit/__init__.py", "plopkit/py.typed"} <= names
    assert {name.split("/")[0] for name in names} == {"plopkit", f"plopkit-{PROJECT['version']}.dist-info"}


def metadata(folder: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Message:
    """The metadata of a wheel that is built with these variables of the environment."""
    from hatchling.builders.wheel import WheelBuilder

    for name in ("PLOPKIT_REPOSITORY", "GITHUB_REPOSITORY", "GITHUB_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    wheel = zipfile.ZipFile(next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])))
    return message_from_string(wheel.read(f"plopkit-{PROJECT['version']}.dist-info/METADATA").decode())


@pytest.mark.parametrize(
    "variables",
    [
        {"PLOPKIT_REPOSITORY": "https://example.org/a/b.git"},
        {"GITHUB_SERVER_URL": "https://example.org", "GITHUB_REPOSITORY": "a/b"},
    ],
)
def test_an_index_shows_the_pictures_where_the_repository_has_an_address(variables, tmp_path, monkeypatch):
    found = metadata(tmp_path, monkeypatch, **variables)
    assert "Source, https://example.org/a/b" in found.get_all("Project-URL")
    text = found.get_payload()
    paths = re.findall(r"\]\((?:https://example.org/a/b/(?:raw|blob)/HEAD/)([^)#]+)", text)
    assert "docs/forgetting.png" in paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert re.findall(r"\]\((?!https://|#)[^)]+\)", text) == []
    assert re.findall(r"!\[[^\]]*\]\((?!https://example.org/a/b/raw/HEAD/docs/\w+\.png\))", text) == []


def test_the_lessons_open_with_one_click_where_the_services_know_the_host() -> None:
    pages = runpy.run_path(str(ROOT / "docs" / "one_click.py"))
    links = pages["one_click"]("https://github.com/owner/plopkit")
    assert links == {
        "Binder": "https://mybinder.org/v2/gh/owner/plopkit/HEAD?urlpath=lab/tree/notebooks/00_start_here.ipynb",
        "Colab": "https://colab.research.google.com/github/owner/plopkit/blob/HEAD/docs/colab.ipynb",
    }
    for path in ("notebooks/00_start_here.ipynb", "docs/colab.ipynb"):
        assert (ROOT / path).is_file() and any(link.endswith(path) for link in links.values())
    assert "v2/gl/group%2Fplopkit/HEAD" in pages["one_click"]("https://gitlab.com/group/plopkit")["Binder"]
    text = "# plopkit\n\nA network"
    badges, words = (pages[name](text, "https://github.com/owner/plopkit") for name in ("with_badges", "with_links"))
    assert badges.startswith("# plopkit\n\n[![Binder](https://") and badges.endswith("\n\nA network")
    assert "![" not in words and "[open the lessons in Colab](https://colab" in words
    assert pages["with_badges"](text, "https://example.org/a/b") == text


def test_without_an_address_readme_is_as_it_is(tmp_path, monkeypatch):
    found = metadata(tmp_path, monkeypatch)
    assert found.get_all("Project-URL") is None
    assert found.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")
    assert found["License-Expression"] == "MIT AND CC-BY-4.0"
    assert found.get_all("License-File") == ["LICENSE", "data/twemoji/LICENSE"]


def test_an_address_that_is_none_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="PLOPKIT_REPOSITORY is 'owner/plopkit'; it is an address such as"):
        metadata(tmp_path, monkeypatch, PLOPKIT_REPOSITORY="owner/plopkit")


def test_no_message_advises_an_extra_of_a_package_that_no_index_has():
    files = [*(ROOT / "plopkit").rglob("*.py"), *NOTEBOOKS, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    assert [path.name for path in files if re.search(r"\bplopkit\[\w", path.read_text(encoding="utf-8"))] == []


# --- README


def test_readme_names_make_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, flags=re.MULTILINE))
    lines = [words[1:] for words in readme_commands() if words[0] == "make"]
    used = {word for line in lines for word in line if "=" not in word}
    assert used <= targets


def test_readme_names_subcommands_that_exist():
    from plopkit.cli import COMMANDS

    used = {words[1] for words in readme_commands() if words[0] == "plopkit" and len(words) > 1}
    assert {word for word in used if not word.startswith("-")} <= set(COMMANDS)


# --- services


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps_of(path: Path) -> list[dict]:
    """The steps of all jobs of a workflow."""
    return [step for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_workflows_call_what_exists(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "permissions", "jobs"} <= set(workflow) and True in workflow  # YAML reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}  # a job that needs more says so
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for step in steps_of(path) for line in step.get("run", "").splitlines()]
    assert {line.split()[1] for line in lines if line.startswith("make ")} <= set(targets)
    scripts = [ROOT / line.split()[0] for line in lines if line.startswith(".ci/")]
    assert [script for script in scripts if not os.access(script, os.X_OK)] == []
    assert [step for step in steps_of(path) if not re.fullmatch(r"[\w-]+/[\w-]+@\S+", step.get("uses", "a/b@c"))] == []


def test_workflows_test_what_is_promised():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))["jobs"]
    promised = [text.rpartition(" :: ")[2] for text in PROJECT["classifiers"] if " :: Python :: 3." in text]
    assert jobs["test"]["strategy"]["matrix"]["python"] == jobs["wheel"]["strategy"]["matrix"]["python"] == promised
    assert all(version in SpecifierSet(PROJECT["requires-python"]) for version in promised)
    run = {step.get("run", "") for name in jobs for step in jobs[name]["steps"]}
    assert {"make lint", "make test", "make lowest", "python -m build", ".ci/wheel dist"} <= run


def test_a_release_needs_no_token_and_takes_the_tags_version():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    publishing = jobs["pypi"]
    assert publishing["permissions"] == {"id-token": "write"}
    assert publishing["environment"] == "pypi" and publishing["needs"] == "build"
    assert "secrets." not in str(jobs)
    name = f"dist/plopkit-{PROJECT['version']}-py3-none-any.whl"
    (check,) = [step["run"] for step in jobs["build"]["steps"] if step.get("name") == "the tag is the version"]
    for tag, fits in ((f"v{PROJECT['version']}", True), ("v9.9.9", False)):
        shown = subprocess.run(["bash", "-c", check.replace("test -f", "echo")], env={"GITHUB_REF_NAME": tag}, **READ)
        assert (shown.stdout.strip() == name) == fits


def test_the_scripts_are_ones_that_bash_reads():
    for path in (ROOT / ".ci" / "run", ROOT / ".ci" / "wheel", ROOT / ".binder" / "postBuild"):
        assert os.access(path, os.X_OK)
        assert subprocess.run(["bash", "-n", str(path)], **READ).stderr == ""


def test_binder_installs_what_constraints_pin(tmp_path):
    """postBuild's commands, with a Python that says what it is asked for."""
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$PIP_EXTRA_INDEX_URL $*"\n', encoding="utf-8")
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([str(ROOT / ".binder" / "postBuild")], cwd=ROOT, env=environment, check=True, **READ)
    index, arguments = "https://download.pytorch.org/whl/cpu", "-m pip install --no-cache-dir -c constraints.txt"
    torch = f"torch=={pins()['torch']}"
    assert done.stdout.splitlines() == [f"{index} {arguments} {torch}", f"{index} {arguments} .[notebook]"]
    environment = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text(encoding="utf-8"))
    (python,) = [entry for entry in environment["dependencies"] if entry.startswith("python ")]
    assert Requirement(python.replace(" =", "==")).specifier.contains("3.11")


def test_forms_and_settings_of_services_are_complete():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= set(form)
            assert len({entry["id"] for entry in form["body"]}) == len(form["body"])
            assert all(entry["attributes"]["label"] for entry in form["body"])
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert {entry["package-ecosystem"] for entry in updates} == {"github-actions", "pip"}
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert re.findall(r"make (\w+)", container["postCreateCommand"]) == ["venv"] and "venv" in targets


# --- rules of the project


def test_imports_only_go_down():
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    done = subprocess.run([*lint, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
