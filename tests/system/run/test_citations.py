"""tests/check_citations: what the sources cite is in the tree."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
DOCUMENTS = ("flexdriver/CONTRACT.md", "agent/drbd/README.md", "agent/arbiter/README.md")


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHECKOUT / "tests/check_citations", folder], capture_output=True, text=True, timeout=60)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for document in DOCUMENTS:
        (tmp_path / document).parent.mkdir(parents=True)
        shutil.copy(CHECKOUT / document, tmp_path / document)
    return tmp_path


@pytest.mark.parametrize(
    "comment, said",
    [
        ("// The kubelet calls nothing (contract fact\n// 31, 28).\n", "all citations lead"),
        ("// See contract facts 27 and 99.\n", "flexdriver/CONTRACT.md has no 99"),
        ("// A thaw can lie (DRBD trap 1).\n", "all citations lead"),
        ("// DRBD trap 77\n", "agent/drbd/README.md has no 77"),
        ("// arbiter rule 2, and arbiter rule 9\n", "agent/arbiter/README.md has no 9"),
        ("// It is in nowhere/design.md.\n", "there is no nowhere/design.md"),
    ],
)
def test_a_citation_leads_to_a_document(tree: Path, comment: str, said: str) -> None:
    (tree / "agent/some.h").write_text(comment)
    result = check(tree)
    assert said in result.stdout, result.stdout + result.stderr
    assert (result.returncode == 0) == said.startswith("all")


def test_a_document_without_its_list_is_told(tree: Path) -> None:
    (tree / "agent/drbd/README.md").write_text("# DRBD\n")
    result = check(tree)
    assert result.returncode == 1 and "has no list of traps" in result.stdout
