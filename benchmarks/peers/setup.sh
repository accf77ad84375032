#!/usr/bin/env bash
# A venv of its own for each peer that benchmarks run against, below build/benchmarks/peers; done once.
# `setup.sh [NAME ...]`: those of the names, or all.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$PWD/.venv/bin/python
wanted=" $* "
install() {  # name, requirements; behind "--" those that pip would call a conflict, installed afterwards
    local home=build/benchmarks/peers/$1 first=() later=()
    [ "$wanted" = "  " ] || [[ $wanted == *" $1 "* ]] || return 0
    [ -f "$home/complete" ] && return
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do first+=("$1") && shift; done
    later=("${@:2}")
    echo "benchmarks: installing ${home##*/}"
    rm -rf "$home" && "$python" -m venv "$home"
    local pip=("$home/bin/python" -m pip install --quiet --no-input --disable-pip-version-check)
    "${pip[@]}" "${first[@]}"
    [ ${#later[@]} -eq 0 ] || "${pip[@]}" "${later[@]}"
    touch "$home/complete"
}
install datatrove 'datatrove[processing]==0.10.1' spacy orjson aiohttp
# petastorm breaks with newer versions of the first four. It asks for setuptools<70 and torch, which it needs for its
# BatchedDataLoader, for 77: both do with 80.
install petastorm petastorm==0.13.1 'pyarrow<15' 'numpy<2' 'pandas<2.2' 'pyspark<4' -- torch==2.13.0 'setuptools<81'
# streaming imports torchvision; the two packages of torch have to be of one release.
install streaming mosaicml-streaming==0.13.0 pyarrow==26.0.1 torch==2.14.1 torchvision==0.29.1
install datasets datasets==5.2.0 torch==2.13.0
# The same torch and transformers as ours: accelerate, which their Trainer needs, is all that .venv does not have.
install hf -c constraints.txt torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
# The same torch and transformers as ours here, too, and the same Arrow.
install ray -c constraints.txt 'ray[data]==2.60.0' torch==2.13.0 transformers==5.23.0
