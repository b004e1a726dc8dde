"""What the card is told of the corpora."""

from bigmodel.config import write_json
from bigmodel.training.facts import corpus_facts


def test_examples_are_those_of_the_split(tmp_path):
    write_json(tmp_path / "MANIFEST.json", [{"file": "a.parquet", "license": "MIT", "examples": 55_085}])
    train, valid, whole = corpus_facts(
        [("a.parquet", "train", 1, 45_000), ("a.parquet", "valid", 1, 5_000), ("a.parquet", "train", 1)], tmp_path
    )
    assert (train["examples"], valid["examples"], whole["examples"]) == (45_000, 5_000, 55_085)
    assert train["licence"] == "MIT" and train["weight"] == 1
    assert corpus_facts([("own.parquet", "train", 1, 7)], tmp_path)[0]["examples"] == 7
