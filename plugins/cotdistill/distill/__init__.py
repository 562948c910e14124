"""Knowledge distillation from a teacher's next-token distributions, online or stored."""

PUBLIC_MODULES = (
    "capture",
    "launch",
    "launch_capture",
    "own_texts",
    "paths",
    "refusals",
    "seq2seq_file",
    "settings",
    "train_file",
    "trainer.language_model",
    "vocabulary",
)
