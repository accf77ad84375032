#!/bin/sh
# The Python of Spark jobs on this machine: $MAPRING_PYTHON with the installed pyspark, of which $MAPRING_SPARK is the
# directory. Spark puts the same code before it, packed in zip files and not compiled, so that the driver and the
# process that starts the workers each compiled it for half a second.
set -f
IFS=:
kept=
for entry in $PYTHONPATH; do
    case $entry in
    "$MAPRING_SPARK"/python/lib/*.zip) ;;
    *) kept=${kept:+$kept:}$entry ;;
    esac
done
PYTHONPATH=$kept exec "$MAPRING_PYTHON" "$@"
