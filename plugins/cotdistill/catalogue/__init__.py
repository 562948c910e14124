"""What is packaged: students and registered training sets."""

PUBLIC_MODULES = (
    "lookup",
    "packaged",
    "registration",
    "student",
)
