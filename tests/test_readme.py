import pathlib
import re

import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
@pytest.mark.engine
def test_the_readme_runs_as_it_stands(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 4
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert "GPT 4" in capsys.readouterr().out
    assert (tmp_path / "run.npz").exists()
    assert names["posterior"].num_draws < 4000
    assert names["quick"].method
    assert names["samples"].shape == (500, 2)
    assert names["is_best"].shape == (4, 500)
    assert names["influence"].shape == names["battles"].weight.shape
    assert abs(names["influence"]).max() > 0
