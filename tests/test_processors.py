"""How many threads hash: what the process may run on, what its container leaves, and how many workers share it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from watchword import Settings, processors

Container = Callable[[str], None]


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Container:
    """Says which cgroups the process is in; on a machine with 16 processors."""
    monkeypatch.setattr(processors, "OWN", tmp_path / "own")
    monkeypatch.setattr(processors, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processors, "available", lambda: 16)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.delenv("WATCHWORD_HASHING_THREADS", raising=False)

    def make(own: str) -> None:
        (tmp_path / "own").write_text(own)

    return make


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def test_without_a_quota_there_are_as_many_as_processors(container: Container) -> None:
    container("0::/\n")
    assert processors.quota() is None
    assert Settings().policy().hashing_threads == 16


@pytest.mark.parametrize(
    ("limit", "threads"),
    [
        ("max 100000", 16),
        ("broken", 16),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("200000 100000", 1),
        ("250000 100000", 2),
    ],
)
def test_they_stay_below_a_quota(container: Container, tmp_path: Path, limit: str, threads: int) -> None:
    """Whoever uses a quota up is stopped as a whole, whatever the priority of the thread that did."""
    container("0::/app\n")
    write(tmp_path / "cgroup" / "app", cpu__max=limit)
    assert Settings().policy().hashing_threads == threads


def test_a_group_is_bound_by_those_above_it(container: Container, tmp_path: Path) -> None:
    container("0::/pod/app\n")
    write(tmp_path / "cgroup" / "pod" / "app", cpu__max="800000 100000")
    write(tmp_path / "cgroup" / "pod", cpu__max="400000 100000")
    assert processors.quota() == 4


def test_version_1_has_the_numbers_in_two_files(container: Container, tmp_path: Path) -> None:
    """In a container the path is often the host's, and its files are at the root."""
    container("9:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/system.slice\n")
    write(tmp_path / "cgroup" / "cpu", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    assert processors.quota() == 3


@pytest.mark.parametrize("quota", ["-1", "", "many"])
def test_version_1_without_a_quota(container: Container, tmp_path: Path, quota: str) -> None:
    container("4:cpu,cpuacct:/\n")
    write(tmp_path / "cgroup" / "cpu", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert processors.quota() is None


@pytest.mark.usefixtures("container")
def test_off_linux_there_are_no_cgroups() -> None:
    assert processors.quota() is None


def test_workers_share_the_processors(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight workers with sixteen threads each would take 2.4 GiB for hashing alone, and be no quicker."""
    container("0::/\n")
    monkeypatch.setenv("WEB_CONCURRENCY", "8")
    assert Settings().policy().hashing_threads == 2
    monkeypatch.setenv("WEB_CONCURRENCY", "40")
    assert Settings().policy().hashing_threads == 1


@pytest.mark.parametrize("said", ["", "0", "auto", "-2", "²"])
def test_a_number_of_workers_that_is_none_is_one(
    container: Container, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    container("0::/\n")
    monkeypatch.setenv("WEB_CONCURRENCY", said)
    assert Settings().policy().hashing_threads == 16


def test_what_is_said_counts(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    container("0::/\n")
    monkeypatch.setenv("WEB_CONCURRENCY", "8")
    monkeypatch.setenv("WATCHWORD_HASHING_THREADS", "5")
    assert Settings().policy().hashing_threads == 5


def test_there_is_an_upper_bound(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "available", lambda: 256)
    container("0::/\n")
    assert Settings().policy().hashing_threads == 64


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has affinity masks")
def test_only_processors_that_it_may_run_on_count() -> None:
    assert processors.available() == len(os.sched_getaffinity(0))


def test_python_knows_them_from_version_3_13_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what PYTHON_CPU_COUNT says."""
    monkeypatch.setattr(os, "process_cpu_count", lambda: 7, raising=False)
    assert processors.available() == 7
