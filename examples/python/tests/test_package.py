# SPDX-License-Identifier: MIT
"""The package: how much was compiled, what it says of itself."""
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import heed


def test_at_most_20_definitions_are_compiled():
    assert sum(len(of) for of in heed.supported().values()) <= 20


def test_every_name_is_documented():
    for name in heed.__all__:
        of = getattr(heed, name)
        if name != "KEY_TILE":
            assert inspect.getdoc(of), name
        if inspect.isclass(of):
            for member, value in inspect.getmembers(of):
                assert member.startswith("_") or inspect.getdoc(value), f"{name}.{member}"


def test_a_child_of_fork_attends(tensors):
    import os

    q, k, v = tensors(64, 1100)
    expected = heed.attend(q, k, v, threads=2)
    child = os.fork()
    if child == 0:
        os._exit(0 if (heed.attend(q, k, v, threads=2) == expected).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_stubs_agree_with_the_module(tmp_path):
    pytest.importorskip("mypy", reason="python3-mypy is not installed")
    package = Path(heed.__file__).parent
    classes = "|".join(name for name, of in vars(heed._heed).items() if inspect.isclass(of))
    known = tmp_path / "known"  # pybind11's metaclass, and its __init__ that raises
    known.write_text(f"heed._heed.({classes})\nheed._heed.(Gradients|_Cache).__init__\n")
    where = {"PYTHONPATH": ".", "MYPYPATH": ".", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-m", "mypy.stubtest", "heed._heed", "--allowlist", str(known)],
                          cwd=package.parent, env=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def python_in(readme):
    return [part.split("```")[0] for part in readme.read_text().split("```python\n")[1:]]


def test_the_code_of_the_readmes_runs():
    folder = Path(__file__).resolve().parents[1]
    for block in python_in(folder.parents[1] / "README.md"):
        exec(block, {})
    blocks = python_in(folder / "README.md")
    exec(blocks[0], {})
    torch = pytest.importorskip("torch", reason="python3-torch is not installed: only the block without it ran")
    q, k, v = torch.randn(3, 1, 8, 12, 16)
    exec(blocks[1], {"q": q, "k": k, "v": v})
