"""Knowledge distillation from a teacher's next-token distributions, online or stored."""

PUBLIC_MODULES = (
    "capture",
    "launch",
    "launch_capture",
    "paths",
    "settings",
    "train_file",
)
