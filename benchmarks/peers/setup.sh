#!/usr/bin/env bash
# A venv of its own for each peer that benchmarks run against, below build/benchmarks/peers; done once.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$PWD/.venv/bin/python
install() {  # name, requirements
    local home=build/benchmarks/peers/$1
    [ -f "$home/complete" ] && return
    echo "benchmarks: installing $1"
    rm -rf "$home" && "$python" -m venv "$home"
    "$home/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "${@:2}"
    touch "$home/complete"
}
install datatrove 'datatrove[processing]==0.10.1' spacy orjson aiohttp
# The same torch and transformers as ours: accelerate, which their Trainer needs, is all that .venv does not have.
install hf -c constraints.txt torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
