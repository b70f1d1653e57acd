"""Rows to the bytes of a Parquet or HDF5 file and back: the same rows give the same bytes."""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np

from grace.pipeline.errors import GraceError, UserError, os_error_sentence
from grace.pipeline.store.checksum import MARK, PLACEHOLDER, seal, verify
from grace.pipeline.store.schema import Column, Row, Schema
from grace.pipeline.vocabulary import CUE_FIELDS

META = "grace"
"""Key of the metadata, in Parquet's schema metadata and in HDF5's root attributes."""

META_START = '{"checksum":"'
"""How the metadata begin, as text; what follows is the mark of the checksum."""
META_BYTES = 1 << 12, 1 << 16, 1 << 20
"""What metadata take: nearly always, rarely, and at most. As much is read: behind them lie megabytes of columns."""

ROWS_PER_GROUP = 4096
"""Rows of a Parquet file that are read together: a worker that needs 32 of 200,000 rows reads one such group."""

EMPTY: dict[str, Any] = {"str": "", "bool": False, "jpeg": b"", "cues": []}


def encode(schema: Schema, rows: Sequence[Row], meta: dict[str, Any]) -> bytes:
    """The bytes of a file that holds ``rows``, with their checksum.

    Columns a row lacks are filled with empty values.

    Args:
        schema: What the file holds, and in which format.
        rows: Values by column.
        meta: JSON without times or paths, kept beside the rows.

    Raises:
        ValueError: Arrays disagree in shape.
    """
    return seal(_encode_parquet(schema, rows, meta) if schema.format == "parquet" else _encode_h5(schema, rows, meta))


def decode(
    schema: Schema, path: Path | BytesIO, columns: Sequence[str] | None = None, clip_id: str | None = None
) -> list[Row]:
    """The rows of a file, or of one clip in it; all columns, or those named.

    Of one clip in an HDF5 file only its own row is read: 3 MB of the 100 MB that a shard of ViT-B/16's tokens has.

    Args:
        schema: What the file holds.
        path: The file, whose version and checksum are checked; or its content in memory, which is taken as it is.
        columns: Columns to read; all of them when not given.
        clip_id: The clip whose row to read; all rows when not given.

    Raises:
        UserError: It is not such a file, is damaged, or has no such column.
        GraceError: The machine cannot read it, which says nothing about the file.

    Example:
        >>> from grace.pipeline.store.schemas import DESCRIPTIONS
        >>> row = {"clip_id": "a", "status": "ok", "error": "", "description": "The brows rise."}
        >>> decode(DESCRIPTIONS, BytesIO(encode(DESCRIPTIONS, [row], {})), ["clip_id", "description"])
        [{'clip_id': 'a', 'description': 'The brows rise.'}]
    """
    columns = [columns] if isinstance(columns, str) else columns  # one name, not its letters
    names = tuple(columns) if columns is not None else tuple(c.name for c in schema.all_columns)
    for name in names:
        schema.column(name)
    if isinstance(path, Path):
        check(schema, path)
    if schema.format == "parquet":
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:  # read_table takes twenty times as long, and imports pandas
                held = set(file.schema_arrow.names)
                names = tuple(name for name in names if name in held or not schema.column(name).optional)
                found = file.read(columns=["clip_id", *names] if clip_id is not None else list(names)).to_pylist()
        except OSError as error:  # an ArrowInvalid is none
            raise unreadable(error, Path(str(path)), schema) from None
        if clip_id is None:
            return found
        return [{name: row[name] for name in names} for row in found if row["clip_id"] == clip_id]
    return _decode_h5(schema, path, names, clip_id)


def check(schema: Schema, path: Path) -> None:
    """Raise :class:`UserError` when a file is not of this schema's version, or not as it was written."""
    check_version(schema, path)
    try:
        verify(path, f"remove it and run `grace {schema.stage}` again")
    except OSError as error:
        raise unreadable(error, path, schema) from None


def decode_meta(schema: Schema, path: Path) -> dict[str, Any]:
    """The metadata of a file, without a look at its columns: cheap, and no parser sees a damaged file.

    Raises :class:`UserError` when it is broken or is not one of ours.
    """
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # HDF5 keeps the metadata near the beginning, Parquet at the end.
            mark = (META_START + MARK).encode()
            start = content.rfind(mark) if schema.format == "parquet" else content.find(mark)
            if start < 0:
                raise ValueError("it has no metadata of ours")
            return _read_meta(content[start : start + META_BYTES[-1]])
    except OSError as error:
        raise unreadable(error, path, schema) from None
    except (ValueError, RecursionError):
        raise UserError(damaged(path, schema, "it is empty, cut off or damaged")) from None


def _read_meta(content: bytes) -> dict[str, Any]:
    """The object of JSON that ``content`` begins with; :class:`ValueError` when it begins with none."""
    for size in META_BYTES:
        try:  # an object that is cut off is no JSON
            meta, _ = json.JSONDecoder().raw_decode(content[:size].decode("utf-8", errors="replace"))
            return dict(meta)
        except ValueError:
            if size >= len(content):
                raise
    raise ValueError("its metadata have no end")


def unreadable(error: OSError | KeyError | RuntimeError, path: Path, schema: Schema) -> GraceError:
    """The error for a file that could not be read: the machine's trouble says nothing about the file, which stays.

    Args:
        error: What reading it raised.
        path: The file.
        schema: What it should hold.

    Returns:
        A :class:`UserError` for a file that is missing or damaged; a :class:`GraceError` for the machine's trouble.

    Example:
        >>> from grace.pipeline.store.schemas import MOTION
        >>> unreadable(FileNotFoundError(), Path("motion/00000.h5"), MOTION)
        UserError('motion/00000.h5 is missing: run `grace motion` to make it.')
    """
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} is missing: run `grace {schema.stage}` to make it.")
    if isinstance(error, OSError) and error.errno:
        return GraceError(os_error_sentence(error, path, done="read"))
    return UserError(damaged(path, schema, type(error).__name__))


def damaged(path: Path, schema: Schema, cause: str) -> str:
    """The error message for a file that cannot be read.

    Args:
        path: The file.
        schema: What it should hold.
        cause: What is wrong with it, such as ``it is too short``.
    """
    return f"{path} is not a readable {schema.stage} file ({cause}): remove it and run `grace {schema.stage}` again."


def check_version(schema: Schema, path: Path) -> None:
    """Raise :class:`UserError` when ``path`` is not a file of this schema's version."""
    meta = decode_meta(schema, path)
    if meta.get("schema") != schema.version or meta.get("stage") != schema.stage:
        raise UserError(
            f"{path} was written as {meta.get('stage')} version {meta.get('schema')}, this is {schema.stage} version "
            f"{schema.version}: run `grace {schema.stage}` again."
        )


def _arrow_type(column: Column) -> Any:
    import pyarrow as pa

    scalar = {
        "str": pa.string(),
        "bool": pa.bool_(),
        "cues": pa.list_(pa.struct([(name, pa.string()) for name in CUE_FIELDS])),
    }.get(column.dtype) or getattr(pa, column.dtype)()
    for _ in column.dims:
        scalar = pa.list_(scalar)
    return scalar


def _encode_parquet(schema: Schema, rows: Sequence[Row], meta: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = schema.all_columns
    arrow = pa.schema([(c.name, _arrow_type(c)) for c in columns], metadata={META: meta_text(schema, meta)})
    arrays = [
        pa.array(
            [_plain(row.get(c.name, [] if c.dims else EMPTY.get(c.dtype, 0))) for row in rows], arrow.field(c.name).type
        )
        for c in columns
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=arrow), sink, row_group_size=ROWS_PER_GROUP, compression="zstd")
    return sink.getvalue().to_pybytes()


def _encode_h5(schema: Schema, rows: Sequence[Row], meta: dict[str, Any]) -> bytes:
    import h5py

    name = f"shard-{get_ident()}"  # HDF5 refuses a name that another thread has open, in memory too
    with h5py.File(name, "w", driver="core", backing_store=False, libver="v110", track_order=False) as file:
        file.attrs[META] = meta_text(schema, meta)
        for column in schema.all_columns:
            values = [row.get(column.name) for row in rows]
            if column.optional and all(value is None for value in values):
                continue
            if column.dtype == "str":
                data = np.array([value or "" for value in values], dtype=object)
                file.create_dataset(column.name, data=data, dtype=h5py.string_dtype(), track_times=False)
            elif column.dtype == "jpeg":
                _write_jpegs(file, column, values)
            else:
                data = np.zeros((len(rows), *_shape(schema, column, rows)), dtype=_numpy_type(column, values))
                for index, value in enumerate(values):
                    if value is not None:
                        data[index] = value
                file.create_dataset(column.name, data=data, track_times=False)
        file.flush()
        return file.id.get_file_image()


def _write_jpegs(file: Any, column: Column, values: list[Any]) -> None:
    import h5py

    size = next((len(value) for value in values if value is not None), 0)
    data = np.empty((len(values), size), dtype=object)  # written at once: ten times faster than one by one
    for index, value in enumerate(values):
        images = value or [b""] * size
        for instant in range(size):
            data[index, instant] = np.frombuffer(images[instant], dtype=np.uint8)
    file.create_dataset(column.name, data=data, dtype=h5py.vlen_dtype(np.uint8), track_times=False)


def _numpy_type(column: Column, values: list[Any]) -> str:
    """``token`` columns have the type of their rows: int8, or float16."""
    if column.dtype != "token":
        return column.dtype
    return "int8" if any(getattr(value, "dtype", None) == np.int8 for value in values) else "float16"


def _shape(schema: Schema, column: Column, rows: Sequence[Row]) -> tuple[int, ...]:
    shapes = {np.shape(row[column.name]) for row in rows if row.get(column.name) is not None}
    if len(shapes) > 1 or any(len(shape) != len(column.dims) for shape in shapes):
        raise ValueError(f"{schema.stage}.{column.name} needs one shape {column.dims} in a shard, got {sorted(shapes)}")
    return shapes.pop() if shapes else (0,) * len(column.dims)


def _decode_h5(schema: Schema, path: Path | BytesIO, names: tuple[str, ...], clip_id: str | None) -> list[Row]:
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:  # no file is ever written in place
            present = [name for name in names if name in file or not schema.column(name).optional]
            rows = slice(None)
            if clip_id is not None:
                ids = file["clip_id"].asstr()[...].tolist()
                start = ids.index(clip_id) if clip_id in ids else len(ids)
                rows = slice(start, start + 1)
            columns = {name: _decode_column(file[name], schema.column(name), rows) for name in present}
    except (OSError, KeyError, RuntimeError) as error:
        raise unreadable(error, Path(str(path)), schema) from None
    return [dict(zip(present, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _decode_column(dataset: Any, column: Column, rows: slice) -> list[Any]:
    if column.dtype == "str":
        return list(dataset.asstr()[rows].tolist())
    if column.dtype == "jpeg":
        return [[image.tobytes() for image in clip] for clip in dataset[rows]]
    return list(dataset[rows])


def meta_text(schema: Schema, meta: dict[str, Any]) -> str:
    """The metadata of a file as they are written, with the placeholder of its checksum."""
    from grace.pipeline.store.fingerprint import canonical

    kept = {name: value for name, value in meta.items() if name != "checksum"}  # of a file that is written again
    return META_START + PLACEHOLDER + '",' + canonical({"stage": schema.stage, "schema": schema.version, **kept})[1:]


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
