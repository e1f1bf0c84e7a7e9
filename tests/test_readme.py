"""What the README shows is what happens: its module passes the suite and runs in place of ours, its ten lines run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
COGARCH = Path(sys.executable).with_name("cogarch")


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cogarch(*args: str) -> str:
    done = subprocess.run([COGARCH, *args], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_module_of_thirty_lines_passes_check_and_runs_in_place_of_ours(home: Path) -> None:
    (module,) = (block for block in blocks() if "class MyMEC" in block)
    assert len(module.splitlines()) <= 30
    (home / "my_pkg").mkdir()
    (home / "my_pkg" / "my_mod.py").write_text(module)
    assert "FAIL" not in cogarch("check", "my_pkg.my_mod:MyMEC")
    shown = "cogarch run explorer cogarch/Square-v0 --swap mec=my_pkg.my_mod:MyMEC --set mec.waves=96 --out runs/mine"
    assert shown in README
    cogarch(*shown.split()[1:], "--steps", "300")
    assert "cogarch ratemaps runs/mine --topic mec/g" in README
    cogarch("ratemaps", "runs/mine", "--topic", "mec/g", "--shuffles", "2")
    assert (home / "runs" / "mine" / "figures" / "mec.g.svg").exists()


def test_the_ten_lines_run(home: Path) -> None:
    (lines,) = (block for block in blocks() if "agents.load" in block)
    exec(compile(lines, "README.md", "exec"), {})
    assert "<svg" in (home / "grid.svg").read_text()


def test_every_command_shown_exists() -> None:
    commands = set(re.findall(r"^    cogarch ([a-z]+)", README, re.MULTILINE))
    offered = subprocess.run([COGARCH, "--help"], capture_output=True, text=True, timeout=60).stdout
    assert commands
    assert all(re.search(rf"• {command}\b", offered) for command in commands)


def test_every_picture_shown_is_there() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert len(pictures) >= 2
    for picture in pictures:
        assert (Path(__file__).parent.parent / picture).stat().st_size < 500_000
