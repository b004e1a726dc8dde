#!/usr/bin/env bash
# Remakes every shipped model: data -> training -> ONNX with parity -> figures -> card. A card names its model's preset,
# and the preset's docstring, or LOG.md, says what else it had. Four are trained on a GPU: on a CPU say PRESET_SUFFIX=.
#   export/reproduce.sh DATA [MODEL ...]      DATA: folder of the corpora, or of its parts text/ and image/
#   PRESET_SUFFIX= export/reproduce.sh …      by the presets for CPU cores alone; with -gpu by the larger ones alone
#   TRAINED=1 export/reproduce.sh …           from the weights in runs/, such as those that gpu.sh brought
#   ARTIFACTS=FOLDER export/reproduce.sh …    writes the model folders there instead of export/artifacts
# A run goes on from its checkpoint. What improves the page most comes first.
set -euo pipefail
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
data=$(absolute "$1")
shift
if [ -n "${ARTIFACTS:-}" ]; then ARTIFACTS=$(absolute "$ARTIFACTS"); fi
cd "$(dirname "$0")/.."
pairs="en-de en-zh lzh-zh"
if [ "${PRESET_SUFFIX-}" = -gpu ]; then pairs=multilingual; fi
for name in ${*:-emoji $pairs stories poetry photos fashion scenes blood-cells}; do
    model=${ARTIFACTS:-export/artifacts}/$name
    part=image suffix=${PRESET_SUFFIX-}
    if [ -z "${PRESET_SUFFIX+said}" ]; then
        case $name in emoji | stories | poetry | photos) suffix=-gpu ;; esac
    fi
    case $name in
        emoji) task=text_to_image ;;
        photos | fashion) task=image_classification ;;
        blood-cells | scenes) task=object_detection ;;
        *-* | multilingual) task=translation part=text ;;
        *) task=text_generation part=text ;;
    esac
    corpora=$data
    if [ -d "$data/$part" ]; then corpora=$data/$part; fi
    if [ -z "${TRAINED:-}" ]; then
        python3 -m bigmodel train $task --preset "$name$suffix" --data "$corpora"
    fi
    if [ -z "${PRESET_SUFFIX+said}${TRAINED:-}" ] && [ "$name" = stories ]; then
        python3 -m bigmodel train $task --preset stories-further --init-from runs/stories-gpu/model --data "$corpora"
        suffix=-further
    fi
    python3 -m bigmodel export $task --model "runs/$name$suffix/model" --out "$model"
    for engine in torch "onnx --provider cpu"; do
        python3 -m bigmodel evaluate $task --model "$model" --data "$corpora" --engine $engine
    done
    python3 -m bigmodel report --model "$model"
done
