"""Which labelled images does a Hugging Face dataset hold, and how are the bytes of one read?

Images come as the bytes they were stored as and are decoded by our own decoder, with its bounds and its policy for bad
samples; `datasets` decodes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from rapidnet.data.folder import Sample, Split, order_classes
from rapidnet.errors import UserError
from rapidnet.images import BadImageError, EncodedImage, Source

HF_PREFIX = "hf:"
VALIDATION = ("validation", "val", "valid", "dev", "test")
"""What a split to validate on is called, the best first."""
LABEL = "label"
"""The column to fall back on where no column is of the type ClassLabel."""


@dataclass(frozen=True)
class Row(Sample):
    """An image in a row of a dataset."""

    row: int


@dataclass(frozen=True)
class RowFetcher:
    """Reads the encoded image of a row; the dataset's file is mapped into memory, also in workers."""

    table: Any
    column: str

    def __call__(self, sample: Sample) -> Source:
        """The stored bytes, or the path of the file that the row refers to."""
        assert isinstance(sample, Row)
        cell = self.table[sample.row][self.column] or {}
        if cell.get("bytes") is not None:
            return EncodedImage(sample.path, cell["bytes"])
        if cell.get("path"):
            return str(cell["path"])
        raise BadImageError(sample.path, "missing", "the row holds no image")


def read_hf(
    data: str, excluded: Callable[[Path], bool] | None
) -> tuple[Callable[[], Split], Callable[[], Split] | None]:
    """The training and validation images of 'hf:NAME_OR_PATH'; a split's rows are looked through when it is asked for.

    A sample is called hf:NAME/SPLIT/ROW/FILE, which is what `excluded` is asked about.

    Raises:
        UserError: the package is missing, there is no such dataset, or it has no images or no labels.
    """
    tables = load_tables(data)
    names = list(tables)
    train = "train" if "train" in tables else names[0]
    if "train" not in tables and len(names) > 1:
        raise UserError(f"--data {data} has no split called train, only {', '.join(names)}; rename one of them")
    val = next((name for name in VALIDATION if name in tables and name != train), None)

    def split(purpose: str, name: str) -> Callable[[], Split]:
        return partial(build_split, purpose, tables[name], f"{data}/{name}", excluded)

    return split("train", train), split("val", val) if val else None


def load_tables(data: str) -> dict[str, Any]:
    """The dataset's splits by name: one saved with save_to_disk, else whatever load_dataset finds."""
    name = data.removeprefix(HF_PREFIX)
    try:
        import datasets
    except ImportError:
        raise UserError(f"--data {data} needs the package datasets; pip install 'rapidnet[hf]'") from None
    saved = any((Path(name) / file).is_file() for file in ("dataset_dict.json", "state.json"))
    try:
        loaded = datasets.load_from_disk(name) if saved else datasets.load_dataset(name)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"--data {data} cannot be loaded: {why}; mend the name or the path") from None
    return dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}


def build_split(purpose: str, table: Any, where: str, excluded: Callable[[Path], bool] | None) -> Split:
    """The samples of one split, in the order of its rows."""
    import datasets

    image, label = find_columns(table, where)
    classes, labels = read_labels(table, label, where)
    encoded = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    samples: list[Sample] = []
    for row, (name, index) in enumerate(zip(read_names(encoded, image), labels, strict=True)):
        path = f"{where}/{row}/{name}"
        if not (excluded and excluded(Path(path))):
            samples.append(Row(path, index, row))
    if not samples:
        remedy = "exclude fewer" if table.num_rows else "choose another dataset"
        raise UserError(f"{where} holds no images to use; {remedy}")
    return Split(purpose, classes, samples, table.num_rows - len(samples), RowFetcher(encoded, image))


def find_columns(table: Any, where: str) -> tuple[str, str]:
    """The names of the first column of images and of the column of labels."""
    import datasets

    columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in table.features.items())
    images = [name for name, feature in table.features.items() if isinstance(feature, datasets.Image)]
    labels = [name for name, feature in table.features.items() if isinstance(feature, datasets.ClassLabel)]
    plain = table.features.get(LABEL)
    if isinstance(plain, datasets.Value) and plain.dtype in ("string", "large_string", "int64", "int32"):
        labels.append(LABEL)
    if not images:
        raise UserError(f"{where} has no column of the type Image, only {columns}; cast the column of images to it")
    if not labels:
        raise UserError(f"{where} has no column of the type ClassLabel and no '{LABEL}', only {columns}; add one")
    return images[0], labels[0]


def read_labels(table: Any, column: str, where: str) -> tuple[list[str], list[int]]:
    """The class names and the label of every row."""
    values = table.select_columns([column])[:][column]
    names = getattr(table.features[column], "names", None)
    for row, value in enumerate(values):
        if value is None or value in (-1, ""):
            raise UserError(f"row {row} of {where} has no label in column '{column}'; filter such rows out first")
    if names is not None:
        return list(names), values
    classes = order_classes(str(value) for value in values)
    label = {name: i for i, name in enumerate(classes)}
    return classes, [label[str(value)] for value in values]


def read_names(encoded: Any, column: str) -> list[str]:
    """The file name that each row keeps of its image, 'image' where it keeps none; the bytes are not touched."""
    import pyarrow.compute as pc

    names: list[str] = []
    for batch in encoded.with_format("arrow").iter(1000):
        paths = pc.struct_field(batch[column].combine_chunks(), "path").to_pylist()
        names += [PurePosixPath(path).name if path else "image" for path in paths]
    return names
