"""The run folder that a study generates: manifest, layout, configuration files."""

PUBLIC_MODULES = (
    "commands",
    "generate",
    "layout",
    "manifest",
    "moved",
)
