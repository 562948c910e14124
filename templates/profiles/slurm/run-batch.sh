#!/bin/sh
#SBATCH --job-name=run-batch
#SBATCH --gpus=1
#SBATCH --time=24:00:00
#SBATCH --output=run-batch-%A-%a.log
# Answer a file of requests that `--batch-out openai` wrote, on as many GPUs as the array has tasks:
#     sbatch --array=0-7 run-batch.sh OUT/batch/requests-0001.jsonl MODEL [OPTIONS OF vllm serve]
# Each task answers every eighth request and writes OUT/batch/replies-0001/TASK.jsonl when it is done. A task whose file
# is there does nothing, so the same command resumes after a failure; keep the size of the array then.
# Afterwards: cat OUT/batch/replies-0001/*.jsonl > replies.jsonl
set -eu
file=$1
model=$2
shift 2
task=$SLURM_ARRAY_TASK_ID
count=$SLURM_ARRAY_TASK_COUNT
if [ "${SLURM_ARRAY_TASK_MIN:-0}" != 0 ] || [ "${SLURM_ARRAY_TASK_MAX:-$((count - 1))}" != "$((count - 1))" ]; then
    echo "run-batch.sh: the tasks of the array must be all from 0 up, as --array=0-7" >&2
    exit 2
fi
folder=$(dirname "$file")/$(basename "$file" .jsonl | sed 's/^requests/replies/')
replies=$folder/$task.jsonl
mkdir -p "$folder"
if [ -e "$replies" ]; then
    echo "$replies is there"
    exit 0
fi
requests=$folder/$task.requests
awk -v task="$task" -v count="$count" 'NR % count == task % count' "$file" > "$requests"
if [ ! -s "$requests" ]; then
    rm "$requests"
    echo "no requests for task $task of $count"
    exit 0
fi
vllm run-batch -i "$requests" -o "$replies.part" --model "$model" "$@"
mv "$replies.part" "$replies"
rm "$requests"
