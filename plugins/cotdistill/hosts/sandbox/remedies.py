"""What makes a sandbox work on a machine where it does not."""

from __future__ import annotations

from pathlib import Path

from cotdistill.hosts.sandbox.execution import Tier

_SWITCHES = (
    # the kernel's file, the value that refuses user namespaces, the command that allows them
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "type: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "type: sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "type: sudo sysctl -w user.max_user_namespaces=15000",
    ),
)
_CONTAINER = (
    "in a container, start it with --security-opt seccomp=unconfined (Docker, Podman), or give the "
    "pod seccompProfile: Unconfined (Kubernetes)"
)


def remedy(tier: Tier, fault: str, root: Path = Path("/")) -> str:
    """Return what to do about a tier that does not work, from its fault and the kernel's settings.

    >>> remedy("bubblewrap", "bubblewrap is not installed")
    "type: pip install 'cotdistill[sandbox]'"
    """
    if "not installed" in fault:
        return "type: pip install 'cotdistill[sandbox]'"
    if tier == "landlock":
        return "it needs Linux 5.13 or newer with Landlock switched on (lsm=landlock,... at boot)"
    for name, refusing, command in _SWITCHES:
        try:
            if (root / name.lstrip("/")).read_text().strip() == refusing:
                return command
        except OSError:
            continue
    return _CONTAINER
