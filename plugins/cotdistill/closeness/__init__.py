"""How close the rationales of each arm lie to a student, measured before anything is trained."""

PUBLIC_MODULES = (
    "engines",
    "measure",
    "measures",
    "paired",
)
