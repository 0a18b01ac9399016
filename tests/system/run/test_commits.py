"""tests/check_commits: the subjects of new commits are short."""

import os
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
SCRIPT = "tests/check_commits"


def git(folder: Path, *words: str) -> None:
    names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    alone = {**os.environ, **names, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(["git", "-C", folder, *words], env=alone, check=True, capture_output=True)


def commit(folder: Path, subject: str) -> None:
    git(folder, "commit", "--allow-empty", "-m", f"{subject}\n\n{'A long line of the body. ' * 9}")


def check(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHECKOUT / SCRIPT, folder], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **environment})


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """With the script, and a commit from before it whose subject is too long."""
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q")
    commit(folder, "Say more than fits: " + "x" * 100)
    (folder / "tests").mkdir()
    (folder / SCRIPT).touch()
    git(folder, "add", SCRIPT)
    commit(folder, "Add the check")
    return folder


@pytest.mark.parametrize("length, passes", [(72, True), (73, False)])
def test_a_subject_has_at_most_72_characters(clone: Path, length: int, passes: bool) -> None:
    commit(clone, "ü" * length)
    commit(clone, "Be short")
    result = check(clone)
    assert (result.returncode == 0) == passes, result.stdout + result.stderr
    assert ("has 73 characters" in result.stdout) != passes


def test_a_shallow_clone_passes_and_says_so(clone: Path) -> None:
    commit(clone, "x" * 73)
    shallow = clone.parent / "shallow"
    git(clone, "clone", "-q", "--depth", "1", clone.as_uri(), str(shallow))
    result = check(shallow)
    assert result.returncode == 0 and "not checked" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize("environment", [{}, {"PATH": "/nowhere"}], ids=["no-clone", "no-git"])
def test_without_git_it_passes_and_says_so(tmp_path: Path, environment: dict[str, str]) -> None:
    result = check(tmp_path, **environment)
    assert result.returncode == 0 and "not checked" in result.stdout, result.stdout + result.stderr
