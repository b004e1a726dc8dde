"""``python -m bigmodel results``: the README's table of results and licences, rendered from each metrics.json."""

from pathlib import Path

from bigmodel.config import read_json
from bigmodel.errors import DataError
from bigmodel.evaluation import notes
from bigmodel.evaluation.results import read_metrics

REPOSITORY = Path(__file__).parents[2]
BEGIN, END = "<!-- results: python -m bigmodel results -->", "<!-- end of results -->"
# figure -> decimals; of what the page serves, the figure that a reader compares
SHOWN = {"bits_per_byte": 3, "nats_per_character": 3, "rhyme_rate": 3, "bleu": 1, "accuracy": 3, "map_50": 3}
SHOWN |= {"retrieved_first": 3}


def add_arguments(parser):
    """Declare the options of ``results``."""
    parser.add_argument("--check", action="store_true", help="fail where the README differs, and write nothing")


def run(arguments):
    """Write the table into the README and return 0; with --check, 1 where it is not there yet."""
    readme = REPOSITORY / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = with_table(before, table(REPOSITORY / "export" / "artifacts"))
    if arguments.check:
        print("README.md is up to date" if before == after else "README.md differs: python -m bigmodel results")
        return int(before != after)
    readme.write_text(after, encoding="utf-8")
    return 0


def table(artifacts):
    """Return the table of every model folder under a folder, as Markdown."""
    lines = ["| model | size | training | figure | on | value |", "| --- | --- | --- | --- | --- | --- |"]
    for folder in sorted(path.parent for path in Path(artifacts).glob("*/metrics.json")):
        title = read_json(folder / "config.json").get("bigmodel", {}).get("title", folder.name)
        metrics = read_metrics(folder)
        facts = metrics.get("training") or {}
        size = notes.millions(facts["parameters"]) if "parameters" in facts else ""
        time = f"{facts['minutes']:.0f} min on {facts['hardware']}" if "minutes" in facts else ""
        first = f"[{title}](export/artifacts/{folder.name}/README.md)", size, time
        for figure in metrics["results"]:
            if figure["engine"] == "onnx-cpu" and figure["name"] in SHOWN:
                name = figure["unit"] if figure["unit"] != "share" else figure["name"].replace("_", " ")
                value = f"{figure['value']:.{SHOWN[figure['name']]}f}"
                cells = *first, name, f"`{figure['dataset']}`", value
                lines.append(f"| {' | '.join(cells)} |")
                first = "", "", ""
    return "\n".join(lines)


def with_table(text, rendered):
    """Return a README with the table between its marks.

    Raises:
        DataError: it has no such marks.
    """
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise DataError(f"README.md lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{rendered}\n\n{END}{after}"
