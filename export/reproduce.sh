#!/usr/bin/env bash
# Remakes every shipped model: data -> training -> ONNX with parity -> figures -> card.
#   export/reproduce.sh DATA [MODEL ...]      DATA: folder of the corpora; a run goes on from its checkpoint
#   export/reproduce.sh PICTURES photos …     those of pictures, whose corpora may lie elsewhere
#   PRESET_SUFFIX=-gpu export/reproduce.sh …  the larger presets, for a GPU
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1
shift
suffix=${PRESET_SUFFIX:-}
for name in ${*:-stories poetry en-de}; do
    model=export/artifacts/$name
    case $name in
        photos | fashion) task=image_classification ;;
        blood-cells | scenes) task=object_detection ;;
        *-*) task=translation ;;
        *) task=text_generation ;;
    esac
    python -m bigmodel train $task --preset "$name$suffix" --data "$data"
    python -m bigmodel export $task --model "runs/$name$suffix/model" --out "$model"
    for engine in torch onnx; do
        python -m bigmodel evaluate $task --model "$model" --data "$data" --engine $engine
    done
    python -m bigmodel report --model "$model"
done
