#!/usr/bin/env bash
# Remakes every shipped model: data -> training -> ONNX with parity -> figures -> card.
#   export/reproduce.sh DATA [MODEL ...]      DATA: folder of the corpora, or of its parts text/ and image/
#   PRESET_SUFFIX=-gpu export/reproduce.sh …  the larger presets, for a GPU
# A run goes on from its checkpoint. What improves the page most comes first.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1
shift
suffix=${PRESET_SUFFIX:-}
for name in ${*:-emoji en-de stories poetry photos fashion scenes blood-cells}; do
    model=export/artifacts/$name
    part=image
    case $name in
        emoji) task=text_to_image ;;
        photos | fashion) task=image_classification ;;
        blood-cells | scenes) task=object_detection ;;
        *-* | multilingual) task=translation part=text ;;
        *) task=text_generation part=text ;;
    esac
    corpora=$data
    if [ -d "$data/$part" ]; then corpora=$data/$part; fi
    python -m bigmodel train $task --preset "$name$suffix" --data "$corpora"
    python -m bigmodel export $task --model "runs/$name$suffix/model" --out "$model"
    for engine in torch onnx; do
        python -m bigmodel evaluate $task --model "$model" --data "$corpora" --engine $engine
    done
    python -m bigmodel report --model "$model"
done
