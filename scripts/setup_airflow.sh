#!/usr/bin/env bash
# Airflow 3 in a venv of its own, with the few packages that a DAG of ours reads its settings with; done once.
#
#   scripts/setup_airflow.sh [DIR]      DIR is build/airflow unless given
#
# It does not share .venv: Airflow holds some hundred packages at versions of its own. It holds them to Airflow's
# published constraints where these can be had, and to what pip finds otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

version=3.3.2
home=${1:-build/airflow}
python=.venv/bin/python
[ -x "$python" ] || { echo "setup_airflow: .venv is missing; run scripts/setup.sh first" >&2; exit 2; }
wanted=$(sha256sum <scripts/setup_airflow.sh | cut -d' ' -f1)
if [ -f "$home/complete" ] && [ "$(cat "$home/complete")" = "$wanted" ]; then exit 0; fi

started=$SECONDS
say() { echo "[airflow $((SECONDS - started))s] $*"; }
say "installing Airflow $version into $home"
rm -rf "$home"
mkdir -p "$home"
"$python" -m venv "$home"
constraints="https://raw.githubusercontent.com/apache/airflow/constraints-$version/constraints-3.11.txt"
held=()
if "$python" -c 'import sys, urllib.request as u; open(sys.argv[2], "wb").write(u.urlopen(sys.argv[1], timeout=20).read())' \
    "$constraints" "$home/constraints.txt" 2>/dev/null; then
    held=(-c "$home/constraints.txt")
else
    say "Airflow's constraints cannot be reached; taking the versions that pip finds"
fi
# All but the first two are what `mapring.settings` and `pipelines.stages` import.
if ! "$home/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "${held[@]}" \
    "apache-airflow==$version" "apache-airflow-providers-apache-spark>=6" \
    cronsim fsspec numpy psutil pyarrow pydantic pyyaml >"$home/pip.log" 2>&1; then
    tail -5 "$home/pip.log" >&2
    echo "setup_airflow: pip could not install Airflow; is its package index reached from here? The whole log: $home/pip.log" >&2
    exit 1
fi
echo "$wanted" >"$home/complete"
say "ready: $home"
