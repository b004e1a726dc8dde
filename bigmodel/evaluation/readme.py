"""``python -m bigmodel results``: the README's tables of results and of licences, rendered from each metrics.json."""

from collections import Counter
from pathlib import Path

from bigmodel.config import read_config
from bigmodel.errors import DataError
from bigmodel.evaluation import notes
from bigmodel.evaluation.results import read_metrics

REPOSITORY = Path(__file__).parents[2]
BEGIN, END = "<!-- {}: python -m bigmodel results -->", "<!-- end of {} -->"
# figure -> decimals; of what the page serves, the figure that a reader compares
SHOWN = {"bits_per_byte": 3, "nats_per_character": 3, "rhyme_rate": 3, "bleu": 1, "accuracy": 3, "map_50": 3}
SHOWN |= {"retrieved_first": 3}


def add_arguments(parser):
    """Declare the options of ``results``."""
    parser.add_argument("--check", action="store_true", help="fail where the README differs, and write nothing")


def run(arguments):
    """Write the tables into the README and return 0; with --check, 1 where they are not there yet."""
    readme = REPOSITORY / "README.md"
    before = readme.read_text(encoding="utf-8")
    artifacts = REPOSITORY / "export" / "artifacts"
    after = with_table(before, "results", table(artifacts))
    after = with_table(after, "licences", licences(artifacts))
    if arguments.check:
        print("README.md is up to date" if before == after else "README.md differs: python -m bigmodel results")
        return int(before != after)
    readme.write_text(after, encoding="utf-8")
    return 0


def table(artifacts):
    """Return the table of every model folder under a folder, as Markdown."""
    lines = ["| model | size | training | figure | on | value |", "| --- | --- | --- | --- | --- | --- |"]
    for name, metrics in _models(artifacts):
        facts = metrics.get("training") or {}
        size = notes.millions(facts["parameters"]) if "parameters" in facts else ""
        minutes = Counter()
        for run in (*notes.earlier(facts), facts):
            minutes[run.get("hardware", facts.get("hardware"))] += run.get("minutes", 0)
        time = ", ".join(
            f"{count:.{int(count < 10)}f} min on {hardware}" for hardware, count in minutes.items() if count
        )
        first = name, size, time
        for figure in metrics["results"]:
            if figure["engine"] == "onnx-cpu" and figure["name"] in SHOWN:
                what = figure["unit"] if figure["unit"] != "share" else figure["name"].replace("_", " ")
                value = f"{figure['value']:.{SHOWN[figure['name']]}f}"
                cells = *first, what, f"`{figure['dataset']}`", value
                lines.append(f"| {' | '.join(cells)} |")
                first = "", "", ""
    return "\n".join(lines)


def licences(artifacts):
    """Return a table of every corpus and the models that learnt from it, and whom to name, as Markdown."""
    rows, taught = [], {}
    for name, metrics in _models(artifacts):
        for row in metrics.get("data") or ():
            rows.append(row)
            models = taught.setdefault(notes.corpus(row), {})
            models[f"{name}: {metrics.get('license', 'licence not stated')}"] = row
    lines = ["| corpus | licence | from | models and their licences |", "| --- | --- | --- | --- |"]
    for corpus, models in sorted(taught.items()):
        row = next(iter(models.values()))
        cells = f"`{corpus}`", row.get("licence", "not stated"), notes.origins(row), ", ".join(models)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *(f"\n{text}" for text in notes.attributions(rows))])


def _models(artifacts):
    """Yield the linked title and the metrics of every model folder under a folder."""
    for folder in sorted(path.parent for path in Path(artifacts).glob("*/metrics.json")):
        title = read_config(folder).get("bigmodel", {}).get("title", folder.name)
        yield f"[{title}](export/artifacts/{folder.name}/README.md)", read_metrics(folder)


def with_table(text, name, rendered):
    """Return a README with a table between the marks of its name.

    Raises:
        DataError: it has no such marks.
    """
    begin, end = BEGIN.format(name), END.format(name)
    before, begun, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise DataError(f"README.md lacks the marks {begin} and {end}")
    return f"{before}{begin}\n\n{rendered}\n\n{end}{after}"
