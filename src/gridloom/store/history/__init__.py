"""The history of readings: Parquet files as an append log, DuckDB to ask them, quarter hours for the long run."""

from gridloom.store.history.reader import HistoryReader
from gridloom.store.history.rollup import Retention, Upkeep
from gridloom.store.history.rows import Rows
from gridloom.store.history.writer import History

__all__ = ["History", "HistoryReader", "Retention", "Rows", "Upkeep"]
