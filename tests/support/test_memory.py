"""How much memory may be taken, as Linux and its control groups say."""

from pathlib import Path

from plopkit.support.memory import available_memory

MIB = 2**20


def write(system: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text, encoding="ascii")
    return system


MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    8388608 kB\n"}


def test_a_machine_without_limits(tmp_path: Path) -> None:
    files = MACHINE | {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}
    assert available_memory(write(tmp_path, files)) == 8 * 2**30


def test_what_a_container_may_take_besides_what_it_caches(tmp_path: Path) -> None:
    limits = {"memory.max": f"{1000 * MIB}\n", "memory.current": f"{700 * MIB}\n"}
    limits["memory.stat"] = f"anon 1\ninactive_file {50 * MIB}\n"
    group = {f"sys/fs/cgroup/{name}": text for name, text in limits.items()}
    system = write(tmp_path, MACHINE | group | {"proc/self/cgroup": "0::/outside/of/here\n"})
    assert available_memory(system) == 350 * MIB


def test_the_smallest_limit_of_nested_groups_counts(tmp_path: Path) -> None:
    top, job = "sys/fs/cgroup/slurm", "sys/fs/cgroup/slurm/job"
    files = {f"{top}/memory.max": f"{400 * MIB}", f"{top}/memory.current": f"{300 * MIB}"}
    files |= {f"{job}/memory.max": f"{900 * MIB}", f"{job}/memory.current": "0"}
    assert available_memory(write(tmp_path, MACHINE | files | {"proc/self/cgroup": "0::/slurm/job\n"})) == 100 * MIB


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    files = {"memory.limit_in_bytes": f"{500 * MIB}", "memory.usage_in_bytes": f"{200 * MIB}"}
    files["memory.stat"] = f"inactive_file 0\ntotal_inactive_file {10 * MIB}\n"
    group = {f"sys/fs/cgroup/memory/a/{name}": text for name, text in files.items()}
    system = write(tmp_path, MACHINE | group | {"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/a\n"})
    assert available_memory(system) == 310 * MIB


def test_more_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/memory.max": "100", "sys/fs/cgroup/memory.current": "200", "proc/self/cgroup": "0::/\n"}
    assert available_memory(write(tmp_path, MACHINE | files)) == 0


def test_this_machine_says_something_or_nothing() -> None:
    found = available_memory()
    assert found is None or found >= 0
