# SPDX-License-Identifier: MIT
"""What a table of results has to say about the machine and the versions of what ran."""
import os, platform, re, shutil, subprocess
from catalogue import HERE, PYTHON


def said(*argv):
    """The first line that a command writes, "" if there is no such command."""
    if not shutil.which(argv[0]):
        return ""
    try:
        p = subprocess.run(argv, capture_output=True, text=True, timeout=20, cwd=HERE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = (p.stdout or p.stderr).strip()
    return text.splitlines()[0] if p.returncode == 0 and text else ""


def field(path, key):
    try:
        for line in open(path):
            if line.startswith(key):
                return line.split(":", 1)[1].strip() if ":" in line else line.split("=", 1)[1].strip().strip('"')
    except OSError:
        pass
    return ""


def boost():
    try:
        m = re.search(r'BOOST_LIB_VERSION "([\d_]+)"', open("/usr/include/boost/version.hpp").read())
        return m[1].replace("_", ".") if m else ""
    except OSError:
        return ""


def describe(build, knit):
    built = lambda name: os.access(os.path.join(build, name), os.X_OK)
    versions = {
        "gcc": said("gcc", "-dumpfullversion"),
        "liburing": said("pkg-config", "--modversion", "liburing"),
        "libuv": built("uv_bench") and said("pkg-config", "--modversion", "libuv"),
        "Boost": (built("asio_bench") or built("fiber_bench")) and boost(),
        "Go": built("go_bench") and said("go", "version").replace("go version go", "").split(" ")[0],
        "tokio": built("tokio_bench") and said("sh", "-c", "dpkg-query -W -f '${Version}' librust-tokio-dev"),
        "rustc": built("tokio_bench") and said("rustc", "--version").replace("rustc ", "").split(" ")[0],
        "CPython": said(PYTHON, "-c", "import platform; print(platform.python_version())"),
        "uvloop": said(PYTHON, "-c", "import uvloop; print(uvloop.__version__)"),
        "State Threads": built("st_bench") and said("sh", "-c", "dpkg-query -W -f '${Version}' libst-dev"),
        "nginx": said("sh", "-c", "nginx -v 2>&1").replace("nginx version: nginx/", ""),
        "fio": said("fio", "--version").replace("fio-", ""),
        "wrk": said("sh", "-c", "wrk -v | head -n 1").split(" ")[1:2],
        "knit": said("git", "describe", "--always", "--dirty") if knit else "",
    }
    if isinstance(versions["wrk"], list):
        versions["wrk"] = versions["wrk"][0] if versions["wrk"] else ""
    return {
        "cpu": field("/proc/cpuinfo", "model name"),
        "cpus": os.cpu_count(),
        "memory": "%.0f GiB" % (int(field("/proc/meminfo", "MemTotal").split()[0] or 0) / 2 ** 20),
        "load": "%.1f" % os.getloadavg()[0],
        "virtual": "hypervisor" in field("/proc/cpuinfo", "flags").split(),
        "kernel": platform.release().split("-")[0],
        "system": field("/etc/os-release", "PRETTY_NAME"),
        "versions": {k: v for k, v in versions.items() if v},
    }
