"""How many processors a process may use, by affinity and cgroups, and how OpenMP's threads wait."""

import math
import os
from pathlib import Path

import pytest

from plopkit.support import cpus


def cgroup(root: Path, name: str, files: dict[str, str]) -> None:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(text, encoding="ascii")


def test_a_quota_of_version_2_is_the_smallest_above_the_process(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/jobs/mine\n", encoding="ascii")
    cgroup(tmp_path, ".", {})
    assert cpus.quota(tmp_path, own) == math.inf
    cgroup(tmp_path, "jobs/mine", {"cpu.max": "max 100000\n"})
    assert cpus.quota(tmp_path, own) == math.inf
    cgroup(tmp_path, "jobs", {"cpu.max": "250000 100000\n"})
    assert cpus.quota(tmp_path, own) == 2.5
    cgroup(tmp_path, "jobs/mine", {"cpu.max": "50000 100000\n"})
    assert cpus.quota(tmp_path, own) == 0.5


def test_a_quota_of_version_1(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("9:name=systemd:/\n3:cpu,cpuacct:/jobs\n1:cpuset:/\n0::/\n", encoding="ascii")
    cgroup(tmp_path, "cpu/jobs", {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"})
    assert cpus.quota(tmp_path, own) == math.inf
    cgroup(tmp_path, "cpu/jobs", {"cpu.cfs_quota_us": "300000\n"})
    assert cpus.quota(tmp_path, own) == 3


@pytest.mark.parametrize("text", [None, "", "nonsense\n", "0::\n"])
def test_without_readable_cgroups_there_is_no_quota(tmp_path: Path, text: str | None) -> None:
    own = tmp_path / "own"
    if text is not None:
        own.write_text(text, encoding="ascii")
    assert cpus.quota(tmp_path / "nowhere", own) == math.inf


@pytest.mark.parametrize(("quota", "expected"), [(math.inf, 3), (2.2, 3), (2.0, 2), (0.3, 1), (64.0, 3)])
def test_affinity_and_quota_limit_the_processors(quota: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 7}, raising=False)
    monkeypatch.setattr(cpus, "quota", lambda: quota)
    assert cpus.n_cpus() == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"GOMP_SPINCOUNT": cpus.SPINS}),
        ({"GOMP_SPINCOUNT": "1"}, {"GOMP_SPINCOUNT": "1"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_threads_spin_briefly_unless_the_user_says_otherwise(before: dict[str, str], after: dict[str, str]) -> None:
    cpus.spin_briefly(before)
    assert before == after
