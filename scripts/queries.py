#!/usr/bin/env python3
"""Runs the example queries of docs/report.md on runs.parquet in the current folder, as `scalemark export` writes it.

    scripts/queries.py duckdb pandas clickhouse

Each name needs its package (`pip install duckdb`, `pandas pyarrow`, `chdb` or its part `chdb-core`). Results are printed as CSV behind a line with the name.
"""

import pathlib
import re
import sys

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs/report.md"


def blocks():
    """The queries by name: code whose first line is a comment with it."""
    fenced = re.findall(r"^```(?:sql|python)\n(?:--|#) (\w+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return {name.lower(): code for name, code in fenced}


def duckdb(query):
    import duckdb

    result = duckdb.sql(query)
    yield result.columns
    yield from result.fetchall()


def clickhouse(query):
    import chdb

    yield from (line.split(",") for line in str(chdb.query(query, "CSVWithNames")).splitlines())


def pandas(code):
    names = {}
    exec(code, names)
    frame = names["table"].reset_index()
    yield list(frame.columns)
    yield from frame.itertuples(index=False)


def main():
    queries, engines = blocks(), {"duckdb": duckdb, "pandas": pandas, "clickhouse": clickhouse}
    asked = sys.argv[1:]
    if not asked or not set(asked) <= set(engines):
        sys.exit(f"usage: scripts/queries.py {' '.join(engines)}")
    for name in asked:
        if name not in queries:
            sys.exit(f"{PAGE.name} has no query for {name}")
        print(f"== {name}")
        for row in engines[name](queries[name]):
            print(",".join(str(cell).strip('"') for cell in row))


if __name__ == "__main__":
    main()
