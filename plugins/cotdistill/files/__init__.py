"""Files as such, whatever they hold: atomic writes, JSON Lines, Parquet, locks, ledgers."""

PUBLIC_MODULES = (
    "atomic",
    "bundle",
    "growing",
    "hashes",
    "inputs",
    "journal",
    "json_file",
    "jsonl",
    "ledger",
    "locks",
    "parquet",
    "reread",
    "shards",
    "stale",
    "templates",
    "yamls",
)
