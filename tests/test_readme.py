import pathlib
import re

import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
@pytest.mark.engine
def test_the_readme_runs_as_it_stands(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert "GPT 4" in capsys.readouterr().out
    assert names["samples"].shape == (500, 2)
    assert names["is_best"].shape == (4, 500)
    assert names["influence"].shape == names["battles"].weight.shape
    assert abs(names["influence"]).max() > 0
