"""The tasks, by their ids. Adding a task adds a line here."""

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Task:
    """A task of the project.

    Attributes:
        id: as in ``python -m bigmodel train <id>`` and in a model's config.json; its package is bigmodel.<id>.
        title: the tab's label, English; in small letters its name in a link, and, after tab_, its key in the texts.
        group: title of the tab of which this one is a part; "" for a tab of its own.
    """

    id: str
    title: str
    group: str = ""

    def module(self, name):
        """Import one of the task's modules, such as "runtime" or "train", when it is needed."""
        return import_module(f"bigmodel.{self.id}.{name}")


TASKS = {
    task.id: task
    for task in (
        Task(id="text_generation", title="Text"),
        Task(id="translation", title="Translate"),
        Task(id="text_to_image", title="Generate", group="Image"),
        Task(id="image_classification", title="Classify", group="Image"),
        Task(id="object_detection", title="Detect", group="Image"),
    )
}
