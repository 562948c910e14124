"""What is packaged: students and registered training sets."""

PUBLIC_MODULES = (
    "host_folders",
    "lookup",
    "packaged",
    "registration",
    "student",
)
