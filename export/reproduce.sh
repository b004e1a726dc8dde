#!/usr/bin/env bash
# Remakes every shipped model: data -> training -> ONNX with parity -> figures -> card.
#   export/reproduce.sh DATA [MODEL ...]      DATA: folder of the corpora; a run goes on from its checkpoint
#   PRESET_SUFFIX=-gpu export/reproduce.sh …  the larger presets, for a GPU
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1
shift
suffix=${PRESET_SUFFIX:-}
for name in ${*:-stories poetry}; do
    model=export/artifacts/$name
    python -m bigmodel train text_generation --preset "$name$suffix" --data "$data"
    python -m bigmodel export text_generation --model "runs/$name$suffix/model" --out "$model"
    for engine in torch onnx; do
        python -m bigmodel evaluate text_generation --model "$model" --data "$data" --engine $engine
    done
    python -m bigmodel report --model "$model"
done
