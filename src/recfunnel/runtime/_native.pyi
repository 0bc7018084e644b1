"""The ranking engine, compiled from `native/`."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recfunnel.core.arrays import FloatArray, IntArray

kernels: ModuleType
"""Kernels one by one on numpy arrays, for tests and measurements."""

def isa() -> str:
    """Name of the instruction set in use: the best this processor runs, or RECFUNNEL_ISA's."""

class ProgramError(Exception):
    """A program that contradicts itself or its arrays."""

class InputError(Exception):
    """What a call gives breaks a rule: shapes, or rows of candidates that do not exist."""

class IdError(Exception):
    """A feature holds an id outside its table."""

class NotFiniteError(Exception):
    """A number that is not finite, going in or coming out."""

class Program:
    """Instructions over tiles, with the packed weights and the tables they use.

    Besides what is listed here it has a method for each kind of instruction of `compile.program`,
    under its tag, with its fields as keyword arguments.
    """

    def __init__(
        self, query_rows: int, block_rows: int, result: tuple[bool, int, int, bool], isa: str = ""
    ) -> None: ...
    @property
    def isa(self) -> str:
        """Name of the instruction set it is packed for."""
    def array(self, name: str, array: NDArray[Any]) -> None:
        """Name an array; before what reads it."""
    def table(self, name: str, storage: str) -> None:
        """Say how the rows of a named array are stored."""
    def computed(
        self,
        name: str,
        table: ComputedTable,
        hot_rows: FloatArray | None,
        hot_index: NDArray[np.uint32] | None,
    ) -> None:
        """Name a table whose rows are made for each call; some of them may be kept."""
    def names(
        self, of_items: bool, categorical: list[str], dense: list[str], multi_valued: list[str]
    ) -> None:
        """Name the features of a side, for messages."""

class ComputedTable:
    """Rows made from ids; each depends on its id alone, to the last bit."""

    @property
    def num_ids(self) -> int:
        """Ids are 0 to num_ids - 1."""
    @property
    def dim(self) -> int:
        """Length of a row."""
    def rows(self, ids: NDArray[np.uint32], num_threads: int = 1) -> FloatArray:
        """Rows (n, dim) of ids (n,)."""

class DecodedTable(ComputedTable):
    """A deep hash embedding: codes of an id through layers (weight, bias, activation).

    Code j is (multipliers[j] · mixed(id ^ seed_mix) + addends[j]) >> shift in 32 bits, or with
    primes ((multipliers[j] · id + addends[j]) mod primes[j]) mod num_values. `normal` holds radius,
    cosine and sine of each value of a code; without it a code c counts as 2c / (num_values - 1)
    less 1.
    """

    def __init__(
        self,
        isa: str,
        num_ids: int,
        dim: int,
        num_values: int,
        seed_mix: int,
        shift: int,
        multipliers: NDArray[np.uint32],
        addends: NDArray[np.uint32],
        primes: NDArray[np.int64] | None,
        normal: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None,
        layers: Sequence[tuple[NDArray[Any], NDArray[Any], str]],
        precision: str,
    ) -> None: ...

class HashedTable(ComputedTable):
    """Rows of a smaller table: row ⌊mixed(id ^ seed_mix) · rows / 2^32⌋."""

    def __init__(self, num_ids: int, dim: int, table: NDArray[Any], seed_mix: int) -> None: ...

class SplitTable(ComputedTable):
    """Row id // R of one table with row id mod R of another, which has R rows."""

    def __init__(
        self,
        num_ids: int,
        dim: int,
        quotients: NDArray[Any],
        remainders: NDArray[Any],
        multiply: bool,
    ) -> None: ...

def hot_index(ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Where each id's row stands among kept rows, as a hash table (slots, 2)."""

class Machine:
    """Runs a program for queries; holds on to the arrays it is given."""

    def __init__(
        self,
        program: Program,
        categorical: IntArray,
        dense: FloatArray,
        lists: list[tuple[IntArray, IntArray, FloatArray | None]],
        records: NDArray[Any] | None,
        storage: str,
        num_threads: int,
        lanes: int,
        timed: bool,
        prefetch: bool,
    ) -> None: ...
    def score(
        self,
        categorical: IntArray,
        dense: FloatArray,
        lists: list[tuple[IntArray, IntArray, FloatArray | None]],
        candidates: IntArray | None,
        given: FloatArray | None,
        out: FloatArray | None,
    ) -> Any:
        """Results of all candidates of all queries; None when they were written to `out`."""
    def top_k(
        self,
        categorical: IntArray,
        dense: FloatArray,
        lists: list[tuple[IntArray, IntArray, FloatArray | None]],
        k: int,
        candidates: IntArray | None,
        given: FloatArray | None,
        excluded: IntArray | None,
    ) -> tuple[IntArray, FloatArray]:
        """Positions, rising, and scores of the best k candidates of one query."""
    def timings(self) -> list[tuple[str, bool, float, int]]:
        """Instruction, whether it runs for blocks, seconds, runs."""
    @property
    def lanes(self) -> int:
        """Candidates in a block."""

def new_bytes(size: int, huge_pages: bool) -> tuple[NDArray[Any], str]:
    """Zeroed bytes on a 2 MiB boundary, and why they do not lie in huge pages, if so asked."""

def num_allocations() -> int:
    """Calls of operator new in this module so far, answers left out; -1 where not counted."""

class Cascade:
    """Stages of a pipeline run behind each other; one query at a time, others wait.

    Scores have numbered slots. A stage is its scorers, each a machine, the slots it reads and the
    one it fills, and how many its last scorer keeps. Sub-batches are cut by columns of the query;
    by shares, each keeps its part of what a stage keeps, else they meet after each stage. Scores of
    the wanted slots are answered under their names.
    """

    def __init__(
        self,
        stages: list[tuple[list[tuple[object, list[int], int]], int]],
        num_slots: int,
        ends: bool,
        wanted: list[tuple[str, int]],
        num_sub_batches: int = 1,
        shares: bool = False,
    ) -> None: ...
    def run(
        self,
        categorical: IntArray,
        dense: FloatArray,
        lists: list[tuple[IntArray, IntArray, FloatArray | None]],
        count: int,
        columns: IntArray | None,
        rows: IntArray | None,
        scores: list[FloatArray | None],
        excluded: IntArray | None,
        num_columns: int = 0,
    ) -> tuple[IntArray, dict[str, FloatArray], tuple[float, ...]]:
        """Columns of the survivors, their scores in the wanted slots, seconds of each stage."""
