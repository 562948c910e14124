"""Knowledge distillation from a teacher's next-token distributions, online or stored."""

PUBLIC_MODULES = (
    "launch",
    "settings",
    "train_file",
)
