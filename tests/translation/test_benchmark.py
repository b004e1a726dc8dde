"""The benchmark's engines translate alike, and its table says who is faster."""

import json

from bigmodel import cli


def test_ours_beside_transformers(exact_folder, tmp_path, capsys):
    (tmp_path / "pairs.tsv").write_text("Two dogs play.\tx\nA man rides a red bike.\tx\nsnow\tx\n")
    command = ["benchmark", "translation", "--model", str(exact_folder), "--file", str(tmp_path / "pairs.tsv")]
    assert cli.main([*command, "--rounds", "1", "--out", str(tmp_path / "out.json")]) == 0
    text, result = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
    assert result["sentences"] == 3 and set(result["equal_to_transformers"].values()) == {3}
    rates = {(r["engine"], r["batch"], r["beams"]): r["sentences_per_cpu_second"] for r in result["rows"]}
    assert len(rates) >= 12 and all(rate > 0 for rate in rates.values())
    assert "int8 / transformers" in text and "batch 16, beam 5" in text
    assert cli.main([*command, "--direction", "en-fr"]) == 2
