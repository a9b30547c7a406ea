"""The kernel's settings, by the names that sysctl(8) has for them."""


def path_of(name: str) -> str:
    """The file of a setting. A name may have slashes for dots, and then dots in its parts."""
    slash, dot = name.find("/"), name.find(".")
    swapped = slash < 0 or 0 <= dot < slash
    path = name.translate({ord("."): "/", ord("/"): "."}) if swapped else name
    if not all(part not in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"no name of a setting: {name!r}")
    return f"/proc/sys/{path}"
