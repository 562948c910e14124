"""The run folder that a study generates: manifest, layout, configuration files."""

PUBLIC_MODULES = (
    "bundles",
    "commands",
    "generate",
    "job",
    "layout",
    "manifest",
    "moved",
    "stages",
)
