"""The run folder that a study generates: manifest, layout, configuration files."""

PUBLIC_MODULES = (
    "bundles",
    "commands",
    "dev_rows",
    "epochs",
    "generate",
    "job",
    "json_record",
    "kept",
    "layout",
    "manifest",
    "moved",
    "race",
    "race_records",
    "round_paths",
    "round_records",
    "rounds",
    "run_lock",
    "skipping",
    "stages",
)
