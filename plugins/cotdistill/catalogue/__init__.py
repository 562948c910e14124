"""What is packaged: students and registered training sets."""

PUBLIC_MODULES = (
    "formats",
    "host_folders",
    "lookup",
    "packaged",
    "registration",
    "student",
)
