#!/usr/bin/env bash
# Trains the -gpu presets on a GPU machine that is reached by copying files, in calls of limited length.
#   export/gpu.sh prepare DATA FOLDER [MODEL ...]
#       here: what each training reads, tokenized, and the judges of drawings where runs/judges has them;
#       FOLDER/1, FOLDER/2, … are uploads of at most 58 MiB, best models first
#   export/gpu.sh run FOLDER/1 OUT SECONDS
#       there, in a copy of this repository without export/artifacts, beside one upload, and another in a later call:
#       goes on with every training that is there until SECONDS are over; what is finished is exported, compared on
#       CUDA with the weights on the CPU, then with torch and transformers, and evaluated (--provider none: it is not),
#       and its figures lie in OUT/index.json; finished weights lie in OUT, in at most 8 files of 15 MiB, 60 MiB in all:
#       what does not fit comes with a later call, and `--again FILE` sends one again
#   export/gpu.sh collect DATA FOLDER OUT ...
#       here: joins and verifies what came back, exports, evaluates and renders the cards, into $ARTIFACTS
# PRESET_SUFFIX, -gpu by default, says which presets. A machine that was given back has forgotten its unfinished runs.
set -euo pipefail
cd "$(dirname "$0")/.."
export PRESET_SUFFIX=${PRESET_SUFFIX--gpu} PYTHONUNBUFFERED=1 BIGMODEL_CUDA_GRAPH=${BIGMODEL_CUDA_GRAPH-1}
exec python3 -m export.gpu "$@"
